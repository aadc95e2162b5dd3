package reproduce

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/recipes"
)

// Every experiment is complete, and every job of it is a job.
func TestExperimentsAreJobs(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range experiments {
		if err := e.Validate(); err != nil || seen[e.Name] {
			t.Errorf("%s: %v, or there twice", e.Name, err)
		}
		seen[e.Name] = true
		for _, c := range cells(&e) {
			j := e.job(&c, 1, Options{Dir: "x"})
			r, ok := recipes.Get(j.Recipe)
			if !ok {
				t.Errorf("%s: %s: no recipe %s", e.Name, c.name(), j.Recipe)
				continue
			}
			var sets []config.Set
			for _, s := range j.Set {
				set, err := config.ParseSet(s)
				if err != nil {
					t.Fatal(err)
				}
				sets = append(sets, set)
			}
			job, err := config.Parse(config.Origin{Kind: config.Recipe, Name: j.Recipe}, r.Text, sets...)
			if err != nil {
				t.Errorf("%s: %s: %v", e.Name, c.name(), err)
				continue
			}
			if job.Job.Data.Name != e.Data && (e.Data != "" || job.Job.Data.Name != "optdigits") {
				t.Errorf("%s: %s reads %s, the experiment says %q", e.Name, c.name(), job.Job.Data.Name, e.Data)
			}
		}
	}
}

// fake is a runner whose qualities are known.
func fake(jobs *[]Job) Runner {
	return func(_ context.Context, j Job) (Outcome, error) {
		*jobs = append(*jobs, j)
		acc := 0.9 + 0.01*float64(j.Seed)
		o := Outcome{Accuracy: &acc, Flops: 100, Seconds: 10, Params: 1000, World: 2, Threads: 1}
		if j.Recipe == "b" {
			acc -= 0.004
			o.Flops, o.Seconds, o.Params, o.Measures = 50, 6, 250, map[string]float64{"kept": 0.25}
		}
		return o, nil
	}
}

var pair = Experiment{Name: "x", Title: "X", Claim: "C", Seeds: 2, Arms: []Arm{{"one", "a", nil}, {"two", "b", []string{"k=v"}}}}

func TestPairsAreOfEqualSeeds(t *testing.T) {
	var jobs []Job
	res, err := Run(context.Background(), pair, fake(&jobs), Options{Dir: "d", Set: []string{"z=1"}})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, j := range jobs {
		order = append(order, filepath.Base(j.Dir)+" "+strings.Join(j.Set, " "))
	}
	if want := []string{"one-seed1 z=1", "two-seed1 k=v z=1", "one-seed2 z=1", "two-seed2 k=v z=1"}; !slices.Equal(order, want) {
		t.Errorf("runs %q, want %q", order, want)
	}
	table := res.Table()
	for _, want := range []string{"| two | 91.10 ± 0.71 | -0.40 | -0.40 | 0.500 | 0.600 | 0.250 | 0.25 |", "| one | 91.50 ± 0.71 | +0.00 | +0.00 | 1.000 | 1.000 | 1.000 |  |", "espalier reproduce x --set z=1"} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
}

func TestSweep(t *testing.T) {
	e := Experiment{Name: "s", Title: "S", Claim: "C", Seeds: 1, Arms: []Arm{{"one", "a", nil}}, Sweep: []Axis{{"eps", []string{"1", "2"}}, {"lr", []string{"3", "4", "5"}}}}
	n := 0.0
	res, err := Run(context.Background(), e, func(_ context.Context, j Job) (Outcome, error) {
		n++
		x := n / 100
		return Outcome{Accuracy: &x}, nil
	}, Options{Dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	m := res.matrix("one")
	if len(m) != 2 || math.Abs(m[1][2]-6) > 1e-9 || !strings.Contains(res.Table(), "| 2 | 4.00 | 5.00 | 6.00 |") {
		t.Errorf("matrix %v\n%s", m, res.Table())
	}
}

func TestPlotsAreDocuments(t *testing.T) {
	var jobs []Job
	res, err := Run(context.Background(), pair, fake(&jobs), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sweep := pair
	sweep.Sweep = []Axis{{"a", []string{"1", "<"}}, {"b", []string{"3"}}}
	swept, err := Run(context.Background(), sweep, fake(&jobs), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, plots := range []map[string]string{res.Plots(), swept.Plots()} {
		for name, text := range plots {
			d := xml.NewDecoder(strings.NewReader(text))
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, text)
				}
			}
		}
	}
}

func TestFailuresNameTheRun(t *testing.T) {
	broken := errors.New("no data")
	_, err := Run(context.Background(), pair, func(context.Context, Job) (Outcome, error) { return Outcome{}, broken }, Options{})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "x: one, seed 1") {
		t.Errorf("got %v", err)
	}
	lonely := pair
	lonely.Arms = lonely.Arms[:1]
	if _, err := Run(context.Background(), lonely, nil, Options{}); err == nil {
		t.Error("an experiment of one arm was run")
	}
}
