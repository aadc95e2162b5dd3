package sparsify

import (
	"context"
	"math"
	"os"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// The measurements of README.md: ESPALIER_MEASURE=1 go test -v -run Measured.
func TestMeasured(t *testing.T) {
	if os.Getenv("ESPALIER_MEASURE") == "" {
		t.Skip("minutes of training; set ESPALIER_MEASURE to run it")
	}
	for _, c := range []struct {
		data         string
		model        models.Spec
		epochs, tune float64
		s0           []float64
		seeds        []uint64
	}{
		{"optdigits", models.Spec{Name: "resnet-8"}, 20, 10, []float64{-0.1, -0.03, 0}, []uint64{1, 2, 3}},
		{"fashion-mnist", models.Spec{Name: "mlp", Hidden: []int{256, 256}, Norm: true}, 6, 3, []float64{-0.03, -0.01, 0}, []uint64{1}},
	} {
		t.Run(c.data, func(t *testing.T) {
			folder := os.Getenv("ESPALIER_DATA")
			if folder == "" {
				folder = "../../../shared/data"
			}
			set, err := data.Open(c.data, folder)
			if err != nil {
				t.Skip(err)
			}
			dev, err := cpu.New(cpu.Options{Spin: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			e := Experiment{Config: Defaults(), S0: c.s0, Seeds: c.seeds, Tune: c.tune}
			e.Config.Epochs = c.epochs
			e.Setup = func(seed uint64) Setup {
				return func(epochs float64) (trainer.Config, error) { return published(set, dev, c.model, seed, epochs) }
			}
			rows, err := e.Run(context.Background(), solo.New(collective.Gen{}), func(r Row) { t.Logf("%+v", r) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %s, rounds of %v epochs\n%s", c.data, c.model.Name, c.epochs, Table(rows))
		})
	}
}

// published is a plain run with the optimizer of the authors' code.
func published(set *data.Dataset, dev *cpu.Device, spec models.Spec, seed uint64, epochs float64) (trainer.Config, error) {
	train, err := set.Training(data.Options{Seed: seed, Augment: data.Augment{Pad: 1}})
	if err != nil {
		return trainer.Config{}, err
	}
	test, err := set.Evaluation(data.Options{})
	if err != nil {
		return trainer.Config{}, err
	}
	row := train.Row()
	spec.Height, spec.Width, spec.Channels, spec.Classes = row.Shape[0], row.Shape[1], row.Shape[2], row.Classes
	const batch = 128
	steps := uint64(math.Round(epochs * float64(train.Samples()) / batch))
	return trainer.Config{Model: spec, Seed: seed, Shards: 4, Timeline: []trainer.Phase{{Steps: steps, Batch: batch}},
		Optim:    optim.Config{Kind: optim.SGD, LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 1e-4},
		Schedule: optim.Schedule{Decay: optim.Step, Milestones: []float64{56. / 85, 71. / 85}, Gamma: 0.1},
		Train:    train, Test: test, Device: dev, Comm: solo.New(collective.Gen{})}, nil
}
