package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := "testdata/" + file
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the change and run with -update:\n%s", path, got)
	}
}

func TestExplainGolden(t *testing.T) {
	text, ok := Explain("")
	if !ok {
		t.Fatal("no explanation")
	}
	golden(t, "explain.txt", text)
	key, _ := Explain("optim.lr")
	golden(t, "explain-key.txt", key)
	job := mustParse(t, "model: {name: transformer}\ndata: {name: tiny-shakespeare}\noptim: {name: adamw}\n", "seed=7")
	golden(t, "explain-job.txt", job.ExplainJob(""))
}

func TestExplainUnknown(t *testing.T) {
	text, ok := Explain("optim.rate")
	if ok || !strings.Contains(text, "unknown key") {
		t.Errorf("got %q, %v", text, ok)
	}
}

// Every field says what it is; every default can be read.
func TestSchemaIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		if f.Doc == "" || seen[f.Key] {
			t.Errorf("%s: no meaning, or twice in the schema", f.Key)
		}
		seen[f.Key] = true
		if f.By != "" && theSchema().field(f.By) == nil {
			t.Errorf("%s depends on %s, which is no key", f.Key, f.By)
		}
		for _, c := range f.cases {
			var j Job
			v := value{text: c.text}
			if strings.HasPrefix(f.Type, "list") {
				a, _ := Set{Key: f.Key, Value: c.text}.assignment()
				v = a.value
			}
			if err := f.store(&j, v); err != nil && f.Key != "name" {
				t.Errorf("default of %s: %v", f.Key, err)
			}
		}
	}
}

// A stored job reads back as the same job, whatever is in it.
func TestRoundTrip(t *testing.T) {
	for _, text := range []string{
		"", "grow: {}", "model: {name: mlp, hidden: [5, 6], norm: true, dropout: 0.25}",
		"name: \"a b: #c\"\ndata: {dir: \"/tmp/x y\"}\nrun: {dir: \"5\", nproc: 2, threads: 3}",
		"model: {name: transformer, dim: 96}\noptim: {name: adamw, eps: 1e-12, lr: 3e-4}\nschedule: {decay: step, milestones: [0.125, 0.5]}",
		"seed: 18446744073709551615\ntrain: {epochs: 0.0001, clip: 1e20}\ngrow: {keep: [\"*.heads\", a], multipliers: [0.5, 1]}",
	} {
		r := mustParse(t, text)
		again := mustParse(t, string(r.YAML()))
		if got, want := string(again.YAML()), string(r.YAML()); got != want {
			t.Errorf("%q came back as\n%s\nwas\n%s", text, got, want)
		}
		if again.Job.Hash(2) != r.Job.Hash(2) {
			t.Errorf("%q: another hash after storing", text)
		}
	}
}

func TestHashCoversWhatChangesNumbers(t *testing.T) {
	base := mustParse(t, "grow: {}")
	for set, same := range map[string]bool{
		"seed=2": false, "train.batch=64": false, "optim.lr=0.2": false, "grow.stages=3": false, "grow=off": false,
		"model.base=8": false, "data.name=mnist": false, "data.augment.pad=1": false, "schedule.warmup=0.1": false, "train.strict=false": false,
		"run.nproc=2": true, "run.threads=2": true, "run.dir=x": true, "name=x": true, "data.dir=x": true,
		"log.every=5": true, "eval.every=3": true, "checkpoint.keep=9": true, "compare.fixed=true": true,
	} {
		r := mustParse(t, "grow: {}", set)
		if got := r.Job.Hash(1) == base.Job.Hash(1); got != same {
			t.Errorf("--set %s: same job = %v, want %v", set, got, same)
		}
	}
	if base.Job.Hash(1) != base.Job.Hash(4) {
		t.Error("the number of workers makes another job although strict")
	}
	if fast := mustParse(t, "train: {strict: false}"); fast.Job.Hash(1) == fast.Job.Hash(4) {
		t.Error("the number of workers does not count although not strict")
	}
}

func TestDifferences(t *testing.T) {
	for _, c := range []struct{ then, now, want string }{
		{"grow: {}\nseed: 1", "seed: 2\nname: x\ngrow: {stages: 3}", "seed was 1, is 2; grow.stages was 9, is 3"},
		{"", "grow: {}", "grow was absent, is given"},
		{"grow: {}", "", "grow was given, is absent"},
		{"", "schedule: {decay: constant}", "schedule.decay was cosine, is constant; schedule.floor was 0, is absent"},
		{"", "run: {nproc: 2}", ""},
	} {
		var got []string
		for _, d := range Differences(mustParse(t, c.then), mustParse(t, c.now)) {
			got = append(got, d.String())
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("from %q to %q: %s, want %s", c.then, c.now, s, c.want)
		}
	}
}

func TestFixedIsTheJobWithoutMethods(t *testing.T) {
	r := mustParse(t, "grow: {}\nsparsify: {}\ncompare: {fixed: true}")
	f := r.Fixed()
	if !f.Job.Plain() || f.Job.Compare.Fixed || f.Job.Run.Dir != "runs/job/fixed" || f.Variant() != "fixed" || r.Variant() != "grown" {
		t.Errorf("got %+v", f.Job)
	}
	if r.Job.Grow == nil {
		t.Error("the growing job was changed")
	}
	if again := mustParse(t, string(f.YAML())); again.Job.Hash(1) != f.Job.Hash(1) {
		t.Error("another job when stored and read")
	}
}
