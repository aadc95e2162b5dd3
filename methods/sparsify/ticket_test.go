package sparsify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/models"
)

// setup makes plain runs of the test job; its epochs are those of the data.
func setup(t testing.TB, j job) Setup {
	return func(epochs float64) (trainer.Config, error) {
		cfg, _ := j.config(t, solo.New(collective.Gen{}))
		steps := uint64(math.Round(epochs * float64(cfg.Train.Samples()) / float64(j.batch)))
		cfg.Timeline = []trainer.Phase{{Steps: steps, Batch: j.batch}}
		cfg.Methods, cfg.Restarts = nil, nil
		return cfg, nil
	}
}

// shortSearch is a search over parts of an epoch.
func shortSearch() Config {
	c := Defaults()
	c.Rounds, c.Epochs, c.Rewind, c.Rise, c.Penalty = 2, 0.2, 0.1, RiseStep, 1e-4
	return c
}

func search(t *testing.T, s0 float64) Found {
	t.Helper()
	c := shortSearch()
	c.S0 = s0
	f, err := Search(context.Background(), setup(t, digits(smallMLP)), 0.6, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTicketFiles(t *testing.T) {
	ticket := search(t, -0.02).Tickets[1]
	path := filepath.Join(t.TempDir(), "round-2.ticket")
	if err := ticket.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTicket(path)
	if err != nil {
		t.Fatal(err)
	}
	byName := func(a, b trainer.Kept) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(ticket.Values, byName)
	slices.SortFunc(got.Values, byName)
	if !reflect.DeepEqual(got, ticket) {
		t.Errorf("read %+v, wrote %+v", got, ticket)
	}
	if ticket.Mask("fc1.weight") == nil || ticket.Mask("out.weight") != nil {
		t.Error("masks by name")
	}
	m := ticket.Mask("fc1.weight")
	for i, b := range m.Bools() {
		if b != m.Keeps(i) || (m.gates(2)[i] == 2) != b {
			t.Fatalf("entry %d: %v", i, b)
		}
	}
}

func TestDamagedTickets(t *testing.T) {
	good := func() *Ticket {
		return &Ticket{Factor: 2, Masks: []Mask{{Name: "a", Shape: []int{3, 3}, Bits: []byte{0xff, 1}}}}
	}
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		edit func(*Ticket)
		want string
	}{
		{"none", func(*Ticket) {}, ""},
		{"bits behind the end", func(x *Ticket) { x.Masks[0].Bits[1] = 3 }, "bits behind its last entry"},
		{"too few bits", func(x *Ticket) { x.Masks[0].Bits = x.Masks[0].Bits[:1] }, "has 1 bytes, want 2"},
		{"shape", func(x *Ticket) { x.Masks[0].Shape = []int{0} }, "has shape [0]"},
		{"overflow", func(x *Ticket) { x.Masks[0].Shape = []int{1 << 30, 1 << 30, 1 << 30} }, "has shape"},
		{"factor", func(x *Ticket) { x.Factor = 0 }, "multiply by 0"},
		{"no masks", func(x *Ticket) { x.Masks = nil }, "no masks"},
	} {
		x := good()
		c.edit(x)
		path := filepath.Join(dir, c.name)
		if err := x.Save(path); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTicket(path); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("no tensors here"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"text", "missing"} {
		if _, err := ReadTicket(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// Invariant 6: a ticket's training does not depend on what stands in removed
// places; removed weights end as zeros; the run resumes exactly.
func TestTicketTraining(t *testing.T) {
	ticket := search(t, -0.02).Tickets[1]
	train := func(x *Ticket, edit func(*trainer.Config)) (trainer.Result, map[string][]float32) {
		var end map[string][]float32
		s := setup(t, digits(smallMLP))
		cfg, err := s(0.2)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Methods = []trainer.Method{NewRetrain(x), probe(func(e trainer.Event, r *trainer.Run) error {
			if e == trainer.Finished {
				end = params(t, r)
			}
			return nil
		})}
		if edit != nil {
			edit(&cfg)
		}
		res, err := trainer.Train(context.Background(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res, end
	}
	want, end := train(ticket, nil)
	for _, m := range ticket.Masks {
		for i, v := range end[m.Name] {
			if !m.Keeps(i) && math.Float32bits(v) != 0 {
				t.Errorf("%s[%d] is %v, removed", m.Name, i, v)
			}
		}
	}
	other := *ticket
	other.Values = nil
	for _, v := range ticket.Values {
		v.Values = slices.Clone(v.Values)
		if m := ticket.Mask(v.Name); m != nil {
			for i := range v.Values {
				if !m.Keeps(i) {
					v.Values[i] = 7
				}
			}
		}
		other.Values = append(other.Values, v)
	}
	if _, got := train(&other, nil); !reflect.DeepEqual(got, end) {
		t.Error("values in removed places count")
	}
	dir := t.TempDir()
	train(ticket, func(c *trainer.Config) {
		c.Dir = dir
		c.Methods = append(c.Methods, probe(func(e trainer.Event, r *trainer.Run) error {
			if r.Step == 3 {
				r.RequestStop()
			}
			return nil
		}))
	})
	if got, _ := train(ticket, func(c *trainer.Config) { c.Dir = dir }); got.Digest != want.Digest {
		t.Errorf("resumed: digest %v, uninterrupted %v", got.Digest, want.Digest)
	}
}

func TestTicketsOfOtherNetworks(t *testing.T) {
	ticket := search(t, 0).Tickets[0]
	for _, c := range []struct {
		name string
		spec models.Spec
		edit func(*Ticket)
		want string
	}{
		{"wider", models.Spec{Name: "mlp", Hidden: []int{18, 12}, Norm: true}, func(*Ticket) {}, "it is of another network"},
		{"other family", smallResNet, func(*Ticket) {}, "masks for 2 weights, the network has 0"},
		{"no values of a layer", smallMLP, func(x *Ticket) { x.Values = x.Values[1:] }, "are remembered"},
	} {
		x := *ticket
		c.edit(&x)
		if _, err := x.Train(context.Background(), setup(t, digits(c.spec)), 0.1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
	m := NewRetrain(ticket)
	raw, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(raw); err != nil {
		t.Error(err)
	}
	for _, raw := range []string{"", "{", `"another"`} {
		if err := m.Load([]byte(raw)); err == nil {
			t.Errorf("state %q was accepted", raw)
		}
	}
}

// The parallel search gives the same on any number of ranks, and lower s₀
// gives sparser networks.
func TestSearchAll(t *testing.T) {
	s0 := []float64{-0.04, 0, 0.04}
	var want []Found
	for _, world := range []int{1, 2, 4} {
		comms := group(t, world)
		results, errs := make([][]Found, world), make([]error, world)
		var wg sync.WaitGroup
		for i, c := range comms {
			wg.Go(func() {
				results[i], errs[i] = SearchAll(context.Background(), c, setup(t, digits(smallMLP)), 0.6, shortSearch(), s0)
				errs[i] = errors.Join(errs[i], c.Close(context.Background()))
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		made := 0
		for rank, found := range results {
			for i, f := range found {
				if len(f.Tickets) > 0 {
					made++
					if i%world != rank {
						t.Errorf("rank %d of %d made run %d", rank, world, i)
					}
				}
				f.Tickets, f.Seconds = nil, 0
				found[i] = f
			}
			if want == nil {
				want = found
			}
			if !reflect.DeepEqual(found, want) {
				t.Errorf("rank %d of %d has %+v, one rank %+v", rank, world, found, want)
			}
		}
		if made != len(s0) {
			t.Errorf("%d ranks made %d runs, want %d", world, made, len(s0))
		}
	}
	if !(want[0].Kept < want[1].Kept && want[1].Kept < want[2].Kept) {
		t.Errorf("kept %d, %d, %d weights, want more for higher s₀", want[0].Kept, want[1].Kept, want[2].Kept)
	}
}

// A failed run ends the batch on every rank, with its reason where it was.
func TestFailedRuns(t *testing.T) {
	comms := group(t, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, c := range comms {
		wg.Go(func() {
			_, errs[i] = Parallel(context.Background(), c, 5, 1, func(_ context.Context, k int) ([]float64, error) {
				if k == 3 {
					return nil, fmt.Errorf("no luck")
				}
				return []float64{1}, nil
			})
			c.Close(context.Background())
		})
	}
	wg.Wait()
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "run 4 of 5 failed on rank 1") {
		t.Errorf("rank 0: %v", errs[0])
	}
	if errs[1] == nil || !strings.Contains(errs[1].Error(), "run 4 of 5: no luck") {
		t.Errorf("rank 1: %v", errs[1])
	}
}

func TestExperiment(t *testing.T) {
	e := Experiment{Config: shortSearch(), S0: []float64{-0.02, 0.02}, Seeds: []uint64{1, 2}, Tune: 0.1,
		Setup: func(seed uint64) Setup {
			j := digits(smallMLP)
			j.edit = func(c *trainer.Config) { c.Seed = seed }
			return setup(t, j)
		}}
	n := 0
	rows, err := e.Run(context.Background(), solo.New(collective.Gen{}), func(Row) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * (1 + 2 + 2*2); len(rows) != want || n != want {
		t.Errorf("%d rows, %d of them noted, want %d", len(rows), n, want)
	}
	for _, r := range rows {
		if !(r.Density() > 0 && r.Density() <= 1) || !(r.Accuracy > 0) || (r.Kind == KindTicket) != (r.Round > 0) {
			t.Errorf("row %+v", r)
		}
	}
	table := Table(rows)
	if lines := strings.Count(table, "\n"); lines != 2+1+2+4 || !strings.Contains(table, "| ticket | -0.02 | 2 |") {
		t.Errorf("table of %d lines:\n%s", lines, table)
	}
	e.Config.Epochs = 0
	if _, err := e.Run(context.Background(), solo.New(collective.Gen{}), nil); err == nil {
		t.Error("an experiment without the length of a round was accepted")
	}
}
