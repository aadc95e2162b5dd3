package config

import (
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/data"
)

func digits(t *testing.T) *data.Dataset {
	t.Helper()
	set, err := data.Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func text(t *testing.T) *data.Dataset {
	t.Helper()
	tok, err := data.NewChars("abc", strings.Repeat("abcdefgh", 200))
	if err != nil {
		t.Fatal(err)
	}
	return &data.Dataset{Name: "tiny-shakespeare", Text: tok}
}

func TestFitRefuses(t *testing.T) {
	for _, c := range []struct{ name, job, want string }{
		{"text model on images", "model: {name: lstm}", "job.yaml:1:15: model.name: lstm reads text, optdigits has images; use a model such as resnet-20, or data such as tiny-shakespeare"},
		{"augmentation larger than the image", "data: {augment: {pad: 20}}", "job.yaml:1:23: data.augment.pad: "},
		{"no step", "train: {epochs: 0.001}", "job.yaml:1:17: train.epochs: 0.001 epochs of 3823 samples are less than one batch of 128; use more epochs or a smaller batch"},
		{"stages without steps", "train: {epochs: 0.1}\ngrow: {}", "job.yaml:1:17: train.epochs: stage 1 of 9 has no steps"},
		{"keep names nothing", "grow: {keep: [nosuch]}", `job.yaml:1:14: grow.keep: keep ["nosuch"] names none of the network's Dims`},
		{"rounds before growth ends", "train: {epochs: 20}\ngrow: {stages: 2, epochs: [10, 10]}\nsparsify: {start: 4, goal: prune, rounds: 2}", "job.yaml:3:19: sparsify.start: the first round begins at step 119, the network grows until step 298; begin later"},
		{"a seed in a growing network", "train: {epochs: 20}\ngrow: {stages: 2, epochs: [10, 10]}\nstructured: {seed: 2}", "job.yaml:3:20: structured.seed: growing and a seed of 2 both say what the network begins with"},
		{"a search before growth ends", "train: {epochs: 20}\ngrow: {stages: 2, epochs: [10, 10]}\nstructured: {seed: 0, start: 4}", "job.yaml:3:30: structured.start: the search begins at step 119, the network grows until step 298"},
		{"rounds before the structure is final", "train: {epochs: 20}\nstructured: {final: 0.5, harden: 0.4}\nsparsify: {start: 4, goal: prune, rounds: 2}", "job.yaml:3:19: sparsify.start: the first round begins at step 119, the network is restructured until step 300"},
		{"a budget below the least", "train: {epochs: 20}\nstructured: {budget: 0.001}", "job.yaml:2:22: structured.budget: budget 0.001 is below the 0.0"},
		{"rounds that do not fit", "train: {epochs: 5}\nsparsify: {epochs: 4}", "job.yaml:2:20: sparsify.epochs: 3 rounds of 4 epochs"},
		{"noise before masks are hard", "train: {epochs: 20}\nsparsify: {goal: prune, rounds: 1, epochs: 8}\nquantize: {start: 4}", "job.yaml:3:19: quantize.start: the noise begins at step 119, the network is thinned until step 239; begin later"},
		{"growth behind the switch", "train: {epochs: 20}\ngrow: {stages: 2, epochs: [10, 10]}\nquantize: {epochs: 4}", "job.yaml:3:20: quantize.epochs: channels get their bits at step 119, the network grows until step 298; make the noise phase longer"},
		{"noise that fills the run", "train: {epochs: 5}\nquantize: {epochs: 5}", "job.yaml:2:20: quantize.epochs: noise from epoch 0 on for 5 epochs leaves no step"},
		{"bits of nothing", "quantize: {layers: [nosuch]}", "job.yaml:1:20: quantize.layers: no weight of resnet-8 is quantized"},
		{"a price before growth ends", "train: {epochs: 20}\ngrow: {stages: 2, epochs: [10, 10]}\njoint: {start: 4}", "job.yaml:3:16: joint.start: channels get a price at step 119, the network grows until step 298; begin later"},
		{"a search that fills the run", "train: {epochs: 5}\njoint: {epochs: 5}", "job.yaml:2:17: joint.epochs: noise from epoch 0 on for 5 epochs leaves no step"},
		{"a price on nothing", "joint: {layers: [nosuch]}", "job.yaml:1:17: joint.layers: no weight of resnet-8 is priced"},
		{"gates on nothing", "train: {epochs: 40}\nsparsify: {layers: [nosuch]}", "job.yaml:2:20: sparsify.layers: no weight of resnet-8 gets gates"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := mustParse(t, c.job).Fit(digits(t), 1)
			if !IsConfig(err) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, err := mustParse(t, "model: {name: mlp}").Fit(text(t), 1); !IsConfig(err) || !strings.Contains(err.Error(), "mlp reads images, tiny-shakespeare is text") {
		t.Errorf("images from text: got %v", err)
	}
}

func TestFit(t *testing.T) {
	fixed, err := mustParse(t, "train: {epochs: 2, batch: 64}\nmodel: {name: resnet-8, base: 8}\ncheckpoint: {every: 0.5}").Fit(digits(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(fixed.Timeline) != 1 || fixed.Timeline[0].Steps != 2*3823/64 || fixed.SaveEvery != 30 || fixed.EvalEvery != 60 || fixed.Model.Height != 8 || fixed.Shards != 4 {
		t.Errorf("got %+v", fixed)
	}
	grown, err := mustParse(t, "train: {epochs: 2, batch: 64}\nmodel: {name: resnet-8, base: 8}\ngrow: {stages: 3}").Fit(digits(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	var samples uint64
	for _, p := range grown.Timeline {
		samples += p.Steps * uint64(p.Batch)
	}
	if samples != fixed.Timeline[0].Steps*64 {
		t.Errorf("growing takes %d samples, the fixed run %d", samples, fixed.Timeline[0].Steps*64)
	}
	if len(grown.Methods) != 1 || grown.Stages != 3 || grown.Sizes["stage1"][0] != 2 {
		t.Errorf("got %d methods, %d stages, sizes %v", len(grown.Methods), grown.Stages, grown.Sizes)
	}
	lm, err := mustParse(t, "model: {name: transformer, dim: 32, layers: 1}\ndata: {name: tiny-shakespeare, context: 16}").Fit(text(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if lm.Model.Vocab != 8 || lm.Model.Context != 16 || lm.Model.Heads != 1 {
		t.Errorf("got %+v", lm.Model)
	}
}

func TestWorkers(t *testing.T) {
	for _, c := range []struct {
		job            string
		processors     int
		nproc, threads int
	}{
		{"", 1, 1, 1}, {"", 2, 2, 1}, {"", 3, 2, 1}, {"", 64, 4, 16}, {"train: {shards: 1}", 8, 1, 8},
		{"run: {nproc: 4}", 2, 4, 1}, {"run: {threads: 3}", 2, 2, 3}, {"run: {nproc: 1}", 8, 1, 8},
		{"train: {strict: false, batch: 8}", 64, 8, 8}, {"train: {strict: false, batch: 256}", 256, 64, 4},
	} {
		n, th := mustParse(t, c.job).Job.Workers(c.processors)
		if n != c.nproc || th != c.threads {
			t.Errorf("%q on %d processors: %d workers of %d threads, want %d of %d", c.job, c.processors, n, th, c.nproc, c.threads)
		}
	}
}

func TestFitThins(t *testing.T) {
	c, err := mustParse(t, "train: {epochs: 20}\ngrow: {stages: 2, epochs: [6, 14]}\nsparsify: {start: 8, goal: prune, rounds: 2}").Fit(digits(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Methods) != 2 || c.Methods[0].Name() != "grow" || c.Methods[1].Name() != "sparsify" {
		t.Errorf("methods %v, want grow and sparsify", c.Methods)
	}
	if len(c.Restarts) != 3 {
		t.Errorf("the schedule begins anew at %v, want it at each round and at the end", c.Restarts)
	}
}
