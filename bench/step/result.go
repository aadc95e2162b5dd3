package step

import (
	"cmp"
	"slices"
)

// Result is a measured case, one JSON line. Peers print the fields up to
// FirstStepMS themselves; the rest is measured around them.
type Result struct {
	Peer    string  `json:"peer"` // "espalier", "pytorch 1.13 channels_last", …
	Case            // as completed
	Params  int     `json:"params"`
	Clock   string  `json:"clock"` // "cpu": processor time, "wall"
	StepMS  Spread  `json:"step_ms"`
	PeakRSS float64 `json:"peak_rss_mb"` // of the largest worker
	// StartMS is from the start of the process to the first step's begin.
	StartMS     float64 `json:"start_to_first_step_ms"`
	ImportMS    float64 `json:"import_ms,omitempty"` // of it: loading the framework
	FirstStepMS float64 `json:"first_step_ms"`       // the first step itself

	AllocsPerStep float64 `json:"allocs_per_step"`      // heap objects, of Go
	ProgramMB     float64 `json:"program_mb,omitempty"` // planned: activations and scratch

	Rate     float64 `json:"rate"` // at the median, all workers together
	RateUnit string  `json:"rate_unit"`
	GFLOP    float64 `json:"gflop"`  // of a step, all workers together
	GFLOPS   float64 `json:"gflops"` // at the median
	Before   Peak    `json:"fma_peak_before"`
	After    Peak    `json:"fma_peak_after"`
	Share    float64 `json:"percent_of_peak"` // of the higher of the two peaks
	// Invalid says why the figure should not be used.
	Invalid string `json:"invalid,omitempty"`
}

// Spread summarises repeated measurements.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spread sorts values.
func spread(values []float64) Spread {
	slices.SortFunc(values, cmp.Compare)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// Peak is the processor's best at multiply-adds in GFLOP/s.
type Peak struct {
	One float64 `json:"1t"` // on one thread
	All float64 `json:"nt"` // on as many as the case has
	N   int     `json:"n"`  // how many that is
}

// shared is the ratio below which threads must be sharing a core.
const shared = 0.85

func (p Peak) sharesCores() bool { return p.All < shared*float64(p.N)*p.One }

// Around completes a result with what was measured around it.
func (r *Result) Around(before, after Peak) error {
	c, s, err := r.Case.complete()
	if err != nil {
		return err
	}
	r.Case, r.Before, r.After = c, before, after
	if r.GFLOP, err = gflop(s, c); err != nil {
		return err
	}
	n, unit := s.samples(c.Batch * c.Workers)
	r.Rate, r.RateUnit = float64(n)/r.StepMS.Median*1e3, unit
	r.GFLOPS = r.GFLOP / r.StepMS.Median * 1e3
	if best := max(before.All, after.All); best > 0 {
		r.Share = 100 * r.GFLOPS / best
	}
	if before.sharesCores() || after.sharesCores() {
		r.Invalid = "the processors share a core: the peak of all threads is below 0.85 times theirs alone"
	}
	return nil
}
