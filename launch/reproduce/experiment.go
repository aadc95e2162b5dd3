package reproduce

import (
	"context"
	"fmt"
	"slices"
)

// Arm is a variant of an experiment: a recipe with other settings.
type Arm struct {
	Name   string
	Recipe string
	Set    []string // as of the flag --set
}

// Axis is a key of the job with the values that a sweep gives it.
type Axis struct {
	Key    string
	Values []string
}

// Experiment is what a page of a method claims, as runs to be made.
type Experiment struct {
	Name  string
	Title string
	Claim string // what is to be seen in the table, and whose claim it is
	Seeds int    // usual number of seeds
	Arms  []Arm  // the first is what the others are compared with
	// Sweep, if there are two axes, runs every arm for every pair of values
	// and shows each arm as a heat map instead of a table.
	Sweep []Axis
	// Front are measures of the finished network that quality is paid with,
	// each shown with the arms that no other is better than in both.
	Front []string
	Data  string // data set that has to be there; "" for the one in the binary
	Cost  string // rough time on two cores, for people
}

// Validate says what is wrong with an experiment.
func (e *Experiment) Validate() error {
	switch {
	case e.Name == "" || e.Title == "" || e.Claim == "" || e.Seeds < 1:
		return fmt.Errorf("experiment %q: name, title, claim and seeds are needed", e.Name)
	case len(e.Sweep) != 0 && len(e.Sweep) != 2:
		return fmt.Errorf("experiment %s: %d axes: want none or two", e.Name, len(e.Sweep))
	case len(e.Arms) == 0 || len(e.Sweep) == 0 && len(e.Arms) < 2:
		return fmt.Errorf("experiment %s: %d arms are nothing to compare", e.Name, len(e.Arms))
	}
	var names []string
	for _, a := range e.Arms {
		if slices.Contains(names, a.Name) || a.Name == "" || a.Recipe == "" {
			return fmt.Errorf("experiment %s: arm %q needs a name of its own and a recipe", e.Name, a.Name)
		}
		names = append(names, a.Name)
	}
	return nil
}

// Job is one run to be made.
type Job struct {
	Recipe string
	Set    []string
	Seed   uint64
	Dir    string
}

// Outcome is what a run reached.
type Outcome struct {
	Accuracy *float64           `json:"test_accuracy"`
	Loss     *float64           `json:"val_loss"`
	Params   float64            `json:"params"`
	Flops    float64            `json:"train_flops"`
	Seconds  float64            `json:"seconds"`
	World    int                `json:"world"`
	Threads  int                `json:"threads"`
	Digest   string             `json:"digest"`
	Measures map[string]float64 `json:"measures"`
}

// Quality is accuracy in percent, or loss in nats.
func (o *Outcome) Quality() float64 {
	switch {
	case o.Accuracy != nil:
		return 100 * *o.Accuracy
	case o.Loss != nil:
		return *o.Loss
	}
	return 0
}

// Runner trains a job to its end, or goes on with it.
type Runner func(ctx context.Context, j Job) (Outcome, error)

// Names lists all experiments.
func Names() (all []string) {
	for _, e := range experiments {
		all = append(all, e.Name)
	}
	return all
}

// Get returns an experiment by name.
func Get(name string) (Experiment, bool) {
	for _, e := range experiments {
		if e.Name == name {
			return e, true
		}
	}
	return Experiment{}, false
}
