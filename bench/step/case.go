package step

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/trainer/models"
)

// Case is one measurement. Zero values take defaults.
type Case struct {
	Model   string `json:"model"`
	Threads int    `json:"threads"` // of each worker; 0 means 1
	Workers int    `json:"workers"` // processes; 0 means 1
	Batch   int    `json:"batch"`   // images or sequences of each worker; 0: the model's
	Steps   int    `json:"steps"`   // timed steps; 0 means 10
	Warmup  int    `json:"warmup"`  // steps before them; 0 means 2
}

// Rate and decay of every case: SGD with momentum.
const (
	learningRate = 0.02
	momentum     = 0.9
	weightDecay  = 1e-4
)

// subject is a model at the sizes it is measured at.
type subject struct {
	spec  models.Spec
	batch int
}

var subjects = map[string]subject{
	"resnet-20":   {images(32, 3), 128},
	"resnet-18":   {images(32, 3), 128},
	"wrn-16-2":    {images(32, 3), 128},
	"vgg-11":      {images(32, 3), 128},
	"mobilenet":   {images(32, 3), 128},
	"mlp":         {images(28, 1), 128}, // 784-1024-1024-10
	"lstm":        {models.Spec{Vocab: 10000, Context: 35, Layers: 2, Dim: 200}, 20},
	"transformer": {models.Spec{Vocab: 65, Context: 128, Layers: 4, Dim: 128, Heads: 4}, 32},
}

func images(size, channels int) models.Spec {
	return models.Spec{Height: size, Width: size, Channels: channels, Classes: 10}
}

// Models are the names that a Case may have.
func Models() []string {
	var names []string
	for n := range subjects {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// complete fills in defaults and refuses what cannot be measured.
func (c Case) complete() (Case, subject, error) {
	s, ok := subjects[c.Model]
	if !ok {
		return c, s, fmt.Errorf("%w: model %q is not measured; there are %v", ErrUsage, c.Model, Models())
	}
	s.spec = s.specOf(c.Model)
	for _, f := range []struct {
		name         string
		at           *int
		def, highest int
	}{
		{"threads", &c.Threads, 1, 1024},
		{"workers", &c.Workers, 1, 64},
		{"batch", &c.Batch, s.batch, 1 << 20},
		{"steps", &c.Steps, 10, 1 << 20},
		{"warm-up steps", &c.Warmup, 2, 1 << 20},
	} {
		if *f.at == 0 {
			*f.at = f.def
		}
		if *f.at < 1 || *f.at > f.highest {
			return c, s, fmt.Errorf("%w: %d %s: want 1 to %d", ErrUsage, *f.at, f.name, f.highest)
		}
	}
	return c, s, nil
}

// specOf is the spec with the model's name.
func (s subject) specOf(model string) models.Spec {
	s.spec.Name = model
	return s.spec
}

// samples is what a step counts: images, or tokens of a sequence model.
func (s subject) samples(batch int) (n int, unit string) {
	if s.spec.Sequence() {
		return batch * s.spec.Context, "tokens/s"
	}
	return batch, "images/s"
}
