package packed

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// trained is a network at the end of a short run on the embedded digits.
type trained struct {
	src *Source
	cfg trainer.Config
	res trainer.Result
}

func train(t testing.TB, spec models.Spec, edit func(*quantize.Config)) *trained {
	t.Helper()
	set, err := data.Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	source, err := set.Training(data.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	test, err := set.Evaluation(data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	row := source.Row()
	spec.Height, spec.Width, spec.Channels, spec.Classes = row.Shape[0], row.Shape[1], row.Shape[2], row.Classes
	steps := uint64(40)
	if spec.Name == "mobilenet" { // costs more than all others together
		steps = 6
	}
	timeline := []trainer.Phase{{Steps: steps, Batch: 64}}
	c := quantize.Defaults()
	c.Group, c.Rate, c.Price = 4, 0.3, 0.05
	if edit != nil {
		edit(&c)
	}
	plan, err := quantize.NewPlan(c, timeline, int(steps)*64)
	if err != nil {
		t.Fatal(err)
	}
	dev := open(t)
	comm := solo.New(collective.Gen{})
	sgd := optim.Defaults(optim.SGD)
	sgd.LR = 0.05
	dir := t.TempDir()
	x := &trained{cfg: trainer.Config{Model: spec, Seed: 1, Shards: 2, Timeline: timeline, Optim: sgd,
		Schedule: optim.Schedule{Decay: optim.Cosine}, Methods: []trainer.Method{quantize.New(plan)},
		Train: source, Test: test, Device: dev, Comm: comm, Dir: dir}}
	if x.res, err = trainer.Train(context.Background(), x.cfg, nil); err != nil {
		t.Fatal(err)
	}
	st, _, _, err := checkpoint.Store{Dir: dir}.LoadLatest()
	if err != nil {
		t.Fatal(err)
	}
	x.src = &Source{Model: spec, Activations: c.Activations, Step: st.Meta.Step, Values: func(name string) ([]float32, bool) {
		c, ok := st.Find(name)
		if !ok {
			return nil, false
		}
		v := make([]float32, len(c.Data)/4)
		return v, c.CopyFloat32s(v) == nil
	}}
	return x
}

func open(t testing.TB) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// evaluate measures a packed network on the test data.
func evaluate(t testing.TB, n *Network, x *trained, threads int) (loss, accuracy float64) {
	t.Helper()
	dev := NewDevice(n, open(t), threads)
	g, err := n.Trace(64)
	if err != nil {
		t.Fatal(err)
	}
	free, err := n.Place(dev, g)
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	prog, err := g.Compile(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	e := trainer.Evaluator{Device: dev, Comm: solo.New(collective.Gen{}), Program: prog, Rows: 64, Source: x.cfg.Test}
	loss, accuracy, _, err = e.Evaluate(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return loss, accuracy
}

var networks = []struct {
	name string
	spec models.Spec
	edit func(*quantize.Config)
}{
	{"mlp", models.Spec{Name: "mlp", Hidden: []int{40, 24}}, nil},
	{"mlp with norms, four-bit activations", models.Spec{Name: "mlp", Hidden: []int{40, 24}, Norm: true}, func(c *quantize.Config) { c.Activations = quantize.Act4 }},
	{"residual", models.Spec{Name: "resnet-8", Base: 8}, nil},
	{"residual, three levels", models.Spec{Name: "resnet-8", Base: 8}, func(c *quantize.Config) { c.Rule = quantize.RuleSySMOL }},
	{"one layer of eight bits", models.Spec{Name: "mlp", Hidden: []int{40}}, func(c *quantize.Config) {
		c.Rule, c.Bits, c.Layers = quantize.RuleUniform, 8, []string{"fc1.weight"}
	}},
	{"depthwise left alone", models.Spec{Name: "mobilenet"}, func(c *quantize.Config) { c.Rule, c.Bits = quantize.RuleUniform, 2 }},
}

// The packed network is the rounded one of training: the same loss, up to
// roundings of float32 that may move a code of an activation; written and read
// it is the same to the bit, for any number of threads.
func TestPackedNetworkIsTheTrainedOne(t *testing.T) {
	for _, c := range networks {
		t.Run(c.name, func(t *testing.T) {
			if c.spec.Name == "mobilenet" && testing.Short() {
				t.Skip("it takes long")
			}
			x := train(t, c.spec, c.edit)
			n, err := Pack(x.src)
			if err != nil {
				t.Fatal(err)
			}
			loss, acc := evaluate(t, n, x, 1)
			if want := float64(x.res.Eval.Loss); math.Abs(loss-want) > 2e-4*math.Max(1, want) {
				t.Errorf("loss %v, in training %v", loss, want)
			}
			if want := float64(*x.res.Eval.Accuracy); math.Abs(acc-want) > 2.5/float64(x.cfg.Test.Samples()) {
				t.Errorf("accuracy %v, in training %v", acc, want)
			}
			file := filepath.Join(t.TempDir(), "network")
			if err := n.Write(file); err != nil {
				t.Fatal(err)
			}
			again, err := Read(file)
			if err != nil {
				t.Fatal(err)
			}
			if l, a := evaluate(t, again, x, 3); l != loss || a != acc {
				t.Errorf("read again: loss %v and accuracy %v, were %v and %v", l, a, loss, acc)
			}
			t.Logf("%.3f bits, loss %.5f, accuracy %.4f", n.Bits(), loss, acc)
		})
	}
}

// A layer's weights are those that the trained network computes with, but for
// what was folded into them.
func TestUnpackedWeights(t *testing.T) {
	x := train(t, models.Spec{Name: "mlp", Hidden: []int{40, 24}}, nil)
	n, err := Pack(x.src)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range n.Layers {
		want, _ := x.src.Values(l.Name)
		for i, w := range l.Weight() {
			if math.Abs(float64(w-want[i])) > 1e-6*math.Abs(float64(want[i])) {
				t.Fatalf("%s[%d]: %v, trained %v", l.Name, i, w, want[i])
			}
		}
	}
}

func TestWhatCannotBePacked(t *testing.T) {
	x := train(t, models.Spec{Name: "mlp", Hidden: []int{16}}, nil)
	with := func(edit func(values map[string][]float32)) *Source {
		src, values := *x.src, map[string][]float32{}
		g, err := models.Trace(src.Model, graph.Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range g.Params() {
			for _, suffix := range []string{"", ".bits", ".used", ".scale"} {
				if v, ok := x.src.Values(p.Name + suffix); ok {
					values[p.Name+suffix] = v
				}
			}
		}
		edit(values)
		src.Values = func(name string) ([]float32, bool) { v, ok := values[name]; return v, ok }
		return &src
	}
	for _, c := range []struct {
		name string
		edit func(map[string][]float32)
		want string
	}{
		{"not quantized", func(v map[string][]float32) {
			for k := range v {
				if strings.HasSuffix(k, ".bits") {
					delete(v, k)
				}
			}
		}, "no weight of the network was quantized"},
		{"before the switch", func(v map[string][]float32) { clear(v["fc1.weight.bits"]) }, "train through the switch"},
		{"no level", func(v map[string][]float32) { v["fc1.weight.used"][3] *= 1.01 }, "is no level"},
		{"scale of another size", func(v map[string][]float32) { v["fc1.weight.scale"] = v["fc1.weight.scale"][1:] }, "do not fit"},
		{"no bias", func(v map[string][]float32) { delete(v, "fc1.bias") }, "values of fc1.bias"},
	} {
		if _, err := Pack(with(c.edit)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	x := train(t, models.Spec{Name: "mlp", Hidden: []int{16}}, nil)
	n, err := Pack(x.src)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "network")
	if err := n.Write(file); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "half": good[:len(good)/2], "a bit of the data": flipped(good, len(good)-9),
		"a letter of the header": flipped(good, 40), "length": flipped(good, 6),
	} {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, c := range []struct {
		name string
		edit func(tensors []checkpoint.Tensor, meta map[string]string) []checkpoint.Tensor
		want string
	}{
		{"format", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor { m["format"] = "gguf"; return x }, "format"},
		{"model", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor {
			m["model"] = strings.Replace(m["model"], "[16]", "[1000000]", 1)
			return x
		}, "the model has"},
		{"layers", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor {
			m["layers"] = `[{"name":"none"}]`
			return x
		}, "none of model"},
		{"groups", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor {
			m["layers"] = strings.Replace(m["layers"], `"groups":[[`, `"groups":[[3,8],[`, 1)
			return x
		}, "group"},
		{"activations", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor { m["activations"] = "7"; return x }, "activations"},
		{"a tensor too few", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor { return x[1:] }, "no tensor"},
		{"a tensor too many", func(x []checkpoint.Tensor, m map[string]string) []checkpoint.Tensor {
			return append(x, bytesOf("zzz", []byte{1}))
		}, "belongs to nothing"},
	} {
		tensors, meta, err := n.tensors()
		if err != nil {
			t.Fatal(err)
		}
		tensors = c.edit(slices.Clone(tensors), meta)
		meta["digest"] = checkpoint.Digest(tensors).String()
		if _, err := openNetwork(tensors, meta); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func flipped(b []byte, at int) []byte {
	c := slices.Clone(b)
	c[at] ^= 4
	return c
}
