package reproduce

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Options of a reproduction.
type Options struct {
	Dir   string   // where runs, table and plots go
	Seeds []uint64 // nil: 1 up to the experiment's number
	Set   []string // settings for every run, after those of the arms
	// Note is told before each run, and after it with what it reached.
	Note func(done, all int, j Job, o *Outcome)
}

// Cell is one place of the table: an arm, at a place of the sweep if there is
// one, with an outcome for each seed.
type Cell struct {
	Arm      string
	At       []string // values of the axes
	Outcomes []Outcome
}

// Result is a finished reproduction.
type Result struct {
	Experiment Experiment
	Seeds      []uint64
	Set        []string
	Cells      []Cell
}

// Run makes all runs of an experiment, seed by seed, so that what is compared
// is run close together in time.
func Run(ctx context.Context, e Experiment, run Runner, o Options) (*Result, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	r := &Result{Experiment: e, Seeds: o.Seeds, Set: o.Set, Cells: cells(&e)}
	for s := uint64(1); len(o.Seeds) == 0 && s <= uint64(e.Seeds); s++ {
		r.Seeds = append(r.Seeds, s)
	}
	note := o.Note
	if note == nil {
		note = func(int, int, Job, *Outcome) {}
	}
	done, all := 0, len(r.Seeds)*len(r.Cells)
	for _, seed := range r.Seeds {
		for i := range r.Cells {
			c := &r.Cells[i]
			j := e.job(c, seed, o)
			note(done, all, j, nil)
			out, err := run(ctx, j)
			if err != nil {
				return nil, fmt.Errorf("%s: %s, seed %d: %w", e.Name, c.name(), seed, err)
			}
			c.Outcomes = append(c.Outcomes, out)
			done++
			note(done, all, j, &out)
		}
	}
	return r, nil
}

// cells lists the places of an experiment, arm by arm.
func cells(e *Experiment) (all []Cell) {
	for _, a := range e.Arms {
		if len(e.Sweep) == 0 {
			all = append(all, Cell{Arm: a.Name})
			continue
		}
		for _, v := range e.Sweep[0].Values {
			for _, w := range e.Sweep[1].Values {
				all = append(all, Cell{Arm: a.Name, At: []string{v, w}})
			}
		}
	}
	return all
}

func (c *Cell) name() string {
	name := c.Arm
	for _, v := range c.At {
		name += "-" + v
	}
	return name
}

// job is the run of a cell for a seed.
func (e *Experiment) job(c *Cell, seed uint64, o Options) Job {
	a := e.Arms[slices.IndexFunc(e.Arms, func(a Arm) bool { return a.Name == c.Arm })]
	set := slices.Clone(a.Set)
	for i, v := range c.At {
		set = append(set, e.Sweep[i].Key+"="+v)
	}
	return Job{Recipe: a.Recipe, Set: append(set, o.Set...), Seed: seed, Dir: filepath.Join(o.Dir, fmt.Sprintf("%s-seed%d", folder(c.name()), seed))}
}

// folder makes a name of a folder from any text.
func folder(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,/\\", r) {
			return '-'
		}
		return r
	}, strings.ReplaceAll(name, ", ", "-"))
}
