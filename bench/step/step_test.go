package step

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

func TestMain(m *testing.M) {
	if supervise.Supervised() {
		if err := Main(context.Background(), nil, os.Args[1:], os.Stdout); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestCasesAreMeasuredInProcessesOfTheirOwn(t *testing.T) {
	var seen int
	results, err := Run(context.Background(), Options{
		Cases: []Case{{Model: "mlp", Batch: 4, Steps: 3}, {Model: "mlp", Batch: 4, Workers: 2, Steps: 3}},
		Each:  func(Result) { seen++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || seen != 2 {
		t.Fatalf("%d results, %d reported, want 2", len(results), seen)
	}
	one, two := results[0], results[1]
	if one.Clock != "cpu" || two.Clock != "wall" {
		t.Errorf("clocks %q and %q: one thread is measured by processor time, more on the wall", one.Clock, two.Clock)
	}
	if two.GFLOP != 2*one.GFLOP || two.Params != one.Params {
		t.Errorf("two workers do %v GFLOP with %d parameters, one %v with %d", two.GFLOP, two.Params, one.GFLOP, one.Params)
	}
	for _, r := range results {
		if r.Params != 1_863_690 || r.StepMS.Min <= 0 || r.StepMS.Max < r.StepMS.Median || r.PeakRSS < 7 || r.Rate <= 0 || r.StartMS <= 0 {
			t.Errorf("implausible: %+v", r)
		}
	}
}

func TestAStepLearnsAndAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	e, err := newEngine(ctx, dev, solo.New(collective.Gen{}), subjects["mlp"].specOf("mlp"), 8)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	var losses []float64
	step := func() {
		if err := e.step(); err != nil {
			t.Fatal(err)
		}
		loss, err := e.loss()
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
	}
	losses = make([]float64, 0, 64)
	if n := testing.AllocsPerRun(10, step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
	if first, last := losses[0], losses[len(losses)-1]; last > first/2 {
		t.Errorf("loss went from %v to %v on one batch", first, last)
	}
}

func TestRecordHoldsWhatAPeerNeeds(t *testing.T) {
	dir := t.TempDir()
	if err := Record(context.Background(), Case{Model: "mlp", Batch: 4, Steps: 2}, dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		"start.safetensors":     {"fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight", "out.bias", "out.weight", "x", "y"},
		"gradients.safetensors": {"fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight", "out.bias", "out.weight"},
	} {
		tensors, _, err := checkpoint.Import(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range tensors {
			names = append(names, x.Name)
		}
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("%s holds %v, want %v", file, names, want)
		}
	}
	var rec Recording
	data, err := os.ReadFile(filepath.Join(dir, "losses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &rec); err != nil || len(rec.Losses) != 2 || rec.Losses[1] >= rec.Losses[0] {
		t.Errorf("%+v, %v: want two falling losses", rec, err)
	}
}

func TestWrongCasesAreNamed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-model", "alexnet"}, "alexnet"},
		{[]string{"-threads", "many"}, "--threads"},
		{[]string{"-workers", "1,x"}, "--workers"},
		{[]string{"-batch", "-3"}, "batch"},
		{[]string{"-nonsense"}, "nonsense"},
		{[]string{"resnet-20"}, "resnet-20"},
	} {
		err := Main(context.Background(), nil, c.args, new(strings.Builder))
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want a usage error about %q", c.args, err, c.want)
		}
	}
}

func TestEveryCombinationIsACase(t *testing.T) {
	cases, err := product("mlp,lstm", "1,2,1", "1,2", Case{Steps: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != 8 {
		t.Errorf("%d cases, want 2 models x 2 threads x 2 workers: %v", len(cases), cases)
	}
	want := Case{Model: "lstm", Threads: 2, Workers: 2, Batch: 20, Steps: 4, Warmup: 2}
	if got := cases[len(cases)-1]; got != want {
		t.Errorf("last case %+v, want %+v", got, want)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{4, 1}, Spread{2.5, 1, 4}},
		{[]float64{5, 1, 2}, Spread{2, 1, 5}},
	} {
		if got := spread(slices.Clone(c.in)); got != c.want {
			t.Errorf("spread(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestProcessorsThatShareACoreMakeACaseInvalid(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after Peak
		invalid       bool
	}{
		{"one thread", Peak{100, 100, 1}, Peak{90, 90, 1}, false},
		{"two cores", Peak{100, 195, 2}, Peak{100, 180, 2}, false},
		{"one core before", Peak{100, 110, 2}, Peak{100, 195, 2}, true},
		{"one core after", Peak{100, 195, 2}, Peak{100, 160, 2}, true},
		{"no assembly", Peak{0, 0, 2}, Peak{0, 0, 2}, false},
	} {
		r := Result{Case: Case{Model: "mlp", Threads: c.before.N}, StepMS: Spread{10, 10, 10}}
		if err := r.Around(c.before, c.after); err != nil {
			t.Fatal(err)
		}
		if got := r.Invalid != ""; got != c.invalid {
			t.Errorf("%s: invalid %v, want %v", c.name, got, c.invalid)
		}
	}
}

func TestConvolutionLayersFit(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, l := range layers[:1] {
		l.n = 1
		k, err := l.measure(dev)
		if err != nil {
			t.Fatal(err)
		}
		if k.GFLOP <= 0 || k.Forward.MS <= 0 || k.Input.MS <= 0 || k.Weight.MS <= 0 {
			t.Errorf("implausible: %+v", k)
		}
	}
}
