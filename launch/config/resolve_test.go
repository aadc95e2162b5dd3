package config

import (
	"strings"
	"testing"
)

func parse(t *testing.T, text string, sets ...string) (*Resolved, error) {
	t.Helper()
	var all []Set
	for _, s := range sets {
		x, err := ParseSet(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	return Parse(Origin{Kind: File, Name: "job.yaml"}, []byte(text), all...)
}

func mustParse(t *testing.T, text string, sets ...string) *Resolved {
	t.Helper()
	r, err := parse(t, text, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestComplaints: each says where, which key, what is wrong and what to do.
func TestComplaints(t *testing.T) {
	for _, c := range []struct {
		name, job string
		sets      []string
		want      []string // all complaints, in order
	}{
		{"unknown key", "train:\n  epoch: 3\n", nil, []string{"job.yaml:2:3: train.epoch: unknown key; did you mean train.epochs?"}},
		{"unknown group", "optm: {lr: 1}", nil, []string{"job.yaml:1:1: optm: unknown key; did you mean optim?"}},
		{"key in the wrong group", "lr: 0.1", nil, []string{"job.yaml:1:1: lr: unknown key; did you mean optim.lr?"}},
		{"nothing near", "zebra: 1", nil, []string{"job.yaml:1:1: zebra: unknown key; espalier config explain lists all of them"}},
		{"given twice", "seed: 1\nseed: 2\n", nil, []string{"job.yaml:2:1: seed: is given twice, first in line 1; remove one"}},
		{"text for a number", "optim: {lr: fast}", nil, []string{`job.yaml:1:13: optim.lr: want number above 0, at most 1000, not "fast"`}},
		{"number in quotes", `train: {batch: "64"}`, nil, []string{`job.yaml:1:16: train.batch: want whole number from 1 to 1048576, not the text "64"; remove the quotes`}},
		{"fraction for a whole number", "train: {batch: 64.5}", nil, []string{`job.yaml:1:16: train.batch: want whole number from 1 to 1048576, not "64.5"`}},
		{"yes for true", "optim: {nesterov: yes}", nil, []string{`job.yaml:1:19: optim.nesterov: want true or false, not "yes"`}},
		{"out of range", "model: {label_smoothing: 1}", nil, []string{`job.yaml:1:26: model.label_smoothing: want number from 0, below 1, not "1"`}},
		{"not a number", "train: {clip: .nan}", nil, []string{`job.yaml:1:15: train.clip: want number from 0, not ".nan"`}},
		{"negative seed", "seed: -1", nil, []string{`job.yaml:1:7: seed: want whole number, not "-1"`}},
		{"misspelt word", "optim: {name: adamv}", nil, []string{`job.yaml:1:15: optim.name: want sgd, csgd, adam, adamw, delayed-adam, avagrad, avagradw, adabound or adaboundw, not "adamv"; did you mean adam?`}},
		{"list for a number", "train: {batch: [64]}", nil, []string{"job.yaml:1:16: train.batch: want whole number from 1 to 1048576, not a list"}},
		{"number for a list", "model: {name: mlp, hidden: 64}", nil, []string{`job.yaml:1:28: model.hidden: want list of whole numbers from 1 to 65536 such as [64, 64], not "64"`}},
		{"bad entry of a list", "model: {name: mlp, hidden: [64, x]}", nil, []string{`job.yaml:1:28: model.hidden: entry 2: want list of whole numbers from 1 to 65536, not "x"`}},
		{"value for a group", "train: 3", nil, []string{"job.yaml:1:8: train: is a group of keys, not a value; want train: {epochs: …}"}},
		{"group for a value", "seed: {a: 1}", nil, []string{"job.yaml:1:7: seed: want a plain value or a list; anchors, aliases, tags and groups are not used here"}},
		{"alias", "seed: *x", nil, []string{"job.yaml:1:7: seed: want a plain value or a list; anchors, aliases, tags and groups are not used here"}},
		{"no value", "seed:\n", nil, []string{"job.yaml:1:7: seed: has no value; give it one or remove the key"}},
		{"empty grow", "grow:\n", nil, []string{"job.yaml:1:1: grow: has no content; write grow: {} for the defaults, or remove the key"}},
		{"not a mapping", "- 1\n", nil, []string{"job.yaml:1:1: want lines of the form key: value"}},
		{"two documents", "seed: 1\n---\nseed: 2\n", nil, []string{"job.yaml:3:5: a second document; a job file has one: remove the line ---"}},
		{"not YAML", "a: [1,\n", nil, []string{"job.yaml:1:4: not YAML: sequence end token ']' not found"}},
		{"tab", "train:\n\tepochs: 3\n", nil, []string{"job.yaml:2:1: not YAML: found character '\t' that cannot start any token; indent with spaces, not with tabs"}},
		{"data set", "data: {name: cifar-10}", nil, []string{`job.yaml:1:14: data.name: no such data set: "cifar-10"; did you mean cifar10? there are cifar10, cifar100, fashion-mnist, mnist, optdigits, tiny-shakespeare, wikitext-2`}},
		{"model", "model: {name: resnet-21}", nil, []string{"job.yaml:1:15: model.name: model resnet-21: want 18, 50, or 6n+2 such as 20, 32, 56, 110"}},
		{"key of another model", "model: {name: mlp, base: 8}", nil, []string{"job.yaml:1:26: model.base: model.name mlp has no such key, only resnet-18, resnet-50, resnet-*; remove it"}},
		{"key of another optimizer", "optim: {beta1: 0.5}", nil, []string{"job.yaml:1:16: optim.beta1: optim.name sgd has no such key, only adam, adamw, delayed-adam, avagrad, avagradw, adabound, adaboundw; remove it"}},
		{"augmentation of text", "model: {name: lstm}\ndata: {augment: {pad: 2}}", nil, []string{"job.yaml:2:23: data.augment.pad: model.name lstm has no such key, only mlp, resnet-*, wrn-*, swrn-*, vgg-*, mobilenet; remove it"}},
		{"heads", "model: {name: transformer, heads: 3}", nil, []string{"job.yaml:1:35: model.heads: 3 heads do not divide dim 128; want a divisor such as 2"}},
		{"batch and shards", "train: {batch: 130}", nil, []string{"job.yaml:1:16: train.batch: a batch of 130 cannot be cut into 4 equal shards; use 128 or 132"}},
		{"small batch", "train: {batch: 2}", nil, []string{"job.yaml:1:16: train.batch: a batch of 2 cannot be cut into 4 equal shards; use 4"}},
		{"shards no power of two", "train: {shards: 3}", nil, []string{"job.yaml:1:17: train.shards: 3 is no power of two; use 2 or 4"}},
		{"workers and shards", "train: {shards: 2}\nrun: {nproc: 4}", nil, []string{"job.yaml:2:14: run.nproc: 4 workers cannot share 2 shards; use at most 2 workers, more shards, or strict: false"}},
		{"nesterov", "optim: {nesterov: true, momentum: 0}", nil, []string{"job.yaml:1:19: optim.nesterov: nesterov needs momentum; set optim.momentum, to 0.9 for instance"}},
		{"milestones", "schedule: {decay: step, milestones: [0.7, 0.5]}", nil, []string{"job.yaml:1:37: schedule.milestones: milestones must rise, such as [0.5, 0.75]"}},
		{"a price beside thinning", "joint: {}\nsparsify: {}", nil, []string{"job.yaml: joint: joint and sparsify both decide what is left of a weight; remove one of the two sections"}},
		{"a price beside precision", "joint: {}\nquantize: {}", nil, []string{"job.yaml: joint: joint and quantize both decide what is left of a weight; remove one of the two sections"}},
		{"a price beside structures", "joint: {}\nstructured: {}", nil, []string{"job.yaml: joint: joint and structured both decide what is left of a weight; remove one of the two sections"}},
		{"growth method", "grow: {init: net2net}", nil, []string{"job.yaml:1:14: grow.init: init net2net shares weights among copies and knows no variance transfer: set vt to none, not paper"}},
		{"stages too long", "grow: {epochs0: 8}", nil, []string{"job.yaml:1:17: grow.epochs0: stages from 8 epochs on leave nothing of 10 epochs for the full-size network; use a smaller epochs0, 0 for the usual shares, or fewer stages"}},
		{"epochs of stages", "grow: {stages: 2, epochs: [1, 2]}", nil, []string{"job.yaml:1:27: grow.epochs: the stages have 3 epochs in all, train.epochs is 10; make them equal"}},
		{"name", "name: a/b", nil, []string{`job.yaml:1:7: name: "a/b" is no name for a run; want one without slashes`}},
		{"--set unknown", "", []string{"train.epoch=3"}, []string{"--set train.epoch=3: train.epoch: unknown key; did you mean train.epochs?"}},
		{"--set wrong type", "", []string{"train.batch=many"}, []string{`--set train.batch=many: train.batch: want whole number from 1 to 1048576, not "many"`}},
		{"--set a group", "", []string{"train=3"}, []string{"--set train=3: train: is a group of keys; set a key of it such as train.epochs"}},
		{"file before flags, all at once", "zebra: 1\nrun: {nproc: 3}\n", []string{"seed=x"}, []string{
			"job.yaml:1:1: zebra: unknown key; espalier config explain lists all of them",
			"job.yaml:2:14: run.nproc: 3 is no power of two; use 2 or 4",
			`--set seed=x: seed: want whole number, not "x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.job, c.sets...)
			if !IsConfig(err) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if got, want := err.Error(), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"large":    "seed: " + strings.Repeat(" ", maxFile) + "1",
		"deep":     "model: " + strings.Repeat("[", 5000),
		"deep map": strings.Repeat("{a: ", 5000),
		"binary":   "\x00\x01\xff\xfe: \x80",
		"indented": deepMapping(2000),
	} {
		if _, err := parse(t, text); !IsConfig(err) {
			t.Errorf("%s: got %v, want an *Error", name, err)
		}
	}
}

func deepMapping(n int) string {
	var b strings.Builder
	for i := range min(n, 300) {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add("train:\n  epochs: 3\nmodel: {name: mlp, hidden: [1, 2]}\ngrow: {}\n")
	f.Add("a: &x [1]\nb: *x\n<<: {c: 1}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(t, text)
		if err == nil {
			again := mustParse(t, string(r.YAML()))
			if again.Job.Hash(1) != r.Job.Hash(1) {
				t.Fatalf("%q: another job when stored and read", text)
			}
		}
	})
}

func TestDefaultsFollowChoices(t *testing.T) {
	for _, c := range []struct{ job, key, want string }{
		{"", "optim.lr", "0.1"},
		{"optim: {name: adam}", "optim.lr", "0.001"},
		{"optim: {name: adamw}", "optim.weight_decay", "0.01"},
		{"optim: {name: adamw}", "optim.spare_norms", "true"},
		{"", "optim.beta1", ""},
		{"optim: {name: adam}", "optim.momentum", ""},
		{"", "model.base", "16"},
		{"model: {name: resnet-18}", "model.base", "64"},
		{"model: {name: lstm}", "model.dim", "200"},
		{"model: {name: transformer, dim: 256}", "model.heads", "8"},
		{"model: {name: transformer, dim: 256}", "model.inner", "1024"},
		{"model: {name: lstm}", "data.context", "35"},
		{"", "data.context", ""},
		{"", "grow.stages", ""},
		{"grow: {}", "grow.stages", "9"},
		{"", "name", "job"},
		{"name: x", "run.dir", "runs/x"},
		{"", "run.nproc", "auto"},
		{"schedule: {decay: step}", "schedule.milestones", "[0.5, 0.75]"},
	} {
		r := mustParse(t, c.job)
		if got, _ := r.Value(c.key); got != c.want {
			t.Errorf("%q: %s is %q, want %q", c.job, c.key, got, c.want)
		}
	}
}

func TestOrigins(t *testing.T) {
	r := mustParse(t, "seed: 3\ntrain:\n  epochs: 1e1\n  batch: 64\n", "train.batch=32", "grow.stages=4")
	for key, want := range map[string]string{
		"seed": "job.yaml:1:7", "train.epochs": "job.yaml:3:11", "train.batch": "--set train.batch=32",
		"train.shards": "default", "grow.stages": "--set grow.stages=4", "grow.vt": "default",
	} {
		if got := r.Origins[key].String(); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
	if j := r.Job; j.Seed != 3 || j.Train.Epochs != 10 || j.Train.Batch != 32 || j.Grow == nil || j.Grow.Stages != 4 {
		t.Errorf("got %+v", j)
	}
}

func TestSetSections(t *testing.T) {
	for _, c := range []struct {
		job, set string
		grows    bool
	}{
		{"grow: {stages: 3}", "grow=off", false}, {"", "grow={}", true}, {"", "grow.vt=none", true}, {"grow: {}", "seed=2", true},
	} {
		if r := mustParse(t, c.job, c.set); (r.Job.Grow != nil) != c.grows {
			t.Errorf("%q with --set %s: growth is %v", c.job, c.set, r.Job.Grow)
		}
	}
	r := mustParse(t, "model: {name: mlp}", "model.hidden=[8, 9]", "grow.keep=fc1")
	if h := r.Job.Model.Hidden; len(h) != 2 || h[1] != 9 || r.Job.Grow.Keep[0] != "fc1" {
		t.Errorf("lists on the command line: %v, %v", h, r.Job.Grow.Keep)
	}
}

func TestLoadRefusesWhatIsNoJobFile(t *testing.T) {
	for _, path := range []string{"/nonexistent.yaml", t.TempDir(), "/dev/zero"} {
		if _, err := Load(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}
