package sparsify

import (
	"context"
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/trainer"
)

// Parallel makes n independent runs with the ranks of comm side by side: in
// wave k rank r makes run k·W+r. run must not use comm. Behind each wave the
// numbers that the runs give, `width` of them each, are made known to all, so
// every rank returns the same [n][width]; the wait for the slowest run of a
// wave must be within the transport's timeout. A run that fails ends the
// whole on every rank, with its error on its own.
func Parallel(ctx context.Context, comm collective.Comm, n, width int, run func(ctx context.Context, i int) ([]float64, error)) ([][]float64, error) {
	info := comm.Info()
	var all [][]float64
	for wave := 0; len(all) < n; wave++ {
		sums := make([]float64, info.World*(width+1)) // the last of each: it failed
		first := wave * info.World
		var failed error
		if i := first + int(info.Rank); i < n {
			mine := sums[int(info.Rank)*(width+1):][:width+1]
			numbers, err := run(ctx, i)
			switch {
			case err == nil && len(numbers) != width:
				err = fmt.Errorf("%d numbers, want %d", len(numbers), width)
				fallthrough
			case err != nil:
				failed = fmt.Errorf("run %d of %d: %w", i+1, n, err)
				mine[width] = 1
			default:
				copy(mine, numbers)
			}
		}
		w := comm.AllReduce(collective.Float64s(sums), collective.Sum, collective.OpMeta{Seq: uint64(wave), Bucket: bucketRuns})
		if err := w.Wait(ctx); err != nil {
			return nil, errors.Join(failed, fmt.Errorf("results of runs: %w", err))
		}
		for r := 0; r < info.World && len(all) < n; r++ {
			of := sums[r*(width+1):][:width+1]
			if of[width] != 0 && failed == nil {
				failed = fmt.Errorf("run %d of %d failed on rank %d", first+r+1, n, r)
			}
			all = append(all, of[:width:width])
		}
		if failed != nil {
			return nil, failed
		}
	}
	return all, nil
}

// bucketRuns tells the results of runs from other sums over ranks.
const bucketRuns = -16

// Found is what a search has found.
type Found struct {
	S0             float64
	Kept, Total    int     // weights under masks, after the last round
	Loss, Accuracy float64 // at the end of the run
	Seconds        float64
	// Tickets are those of all rounds, only on the rank that made the run.
	Tickets []*Ticket
}

// Density is the share of weights under masks that are kept.
func (f Found) Density() float64 { return float64(f.Kept) / float64(max(1, f.Total)) }

// Setup makes the configuration of a plain run on one rank: model, data,
// device, optimizer, schedule and a time line of that many epochs. It may be
// called for each run, and must give each the same seed for tickets to be
// comparable.
type Setup func(epochs float64) (trainer.Config, error)

// Search makes one run with the given configuration.
func Search(ctx context.Context, setup Setup, epochs float64, c Config) (Found, error) {
	cfg, err := setup(epochs)
	if err != nil {
		return Found{}, err
	}
	p, err := NewPlan(c, cfg.Timeline, cfg.Train.Samples())
	if err != nil {
		return Found{}, err
	}
	m, found := New(p), Found{S0: c.S0}
	m.OnTicket = func(t *Ticket) error {
		found.Tickets = append(found.Tickets, t)
		return nil
	}
	cfg.Restarts, cfg.Methods = p.Restarts(), append(cfg.Methods, m)
	res, err := trainer.Train(ctx, cfg, nil)
	if err != nil {
		return Found{}, err
	}
	if !res.Done || len(found.Tickets) == 0 {
		return Found{}, fmt.Errorf("the search was stopped at step %d", res.Step)
	}
	last := found.Tickets[len(found.Tickets)-1]
	found.Kept, found.Total = last.Kept(), last.Total()
	found.Loss, found.Accuracy, found.Seconds = measured(res)
	return found, nil
}

func measured(res trainer.Result) (loss, accuracy, seconds float64) {
	if a := res.Eval.Accuracy; a != nil {
		accuracy = float64(*a)
	}
	return float64(res.Eval.Loss), accuracy, res.Seconds
}

// SearchAll is the parallel search: one run for every s₀, shared among the
// ranks of comm, each with its own tickets. It takes the wall time of one run
// when there are as many ranks.
func SearchAll(ctx context.Context, comm collective.Comm, setup Setup, epochs float64, c Config, s0 []float64) ([]Found, error) {
	tickets := make([][]*Ticket, len(s0))
	numbers, err := Parallel(ctx, comm, len(s0), 5, func(ctx context.Context, i int) ([]float64, error) {
		c := c
		c.S0 = s0[i]
		f, err := Search(ctx, setup, epochs, c)
		tickets[i] = f.Tickets
		return []float64{float64(f.Kept), float64(f.Total), f.Loss, f.Accuracy, f.Seconds}, err
	})
	if err != nil {
		return nil, err
	}
	all := make([]Found, len(s0))
	for i, x := range numbers {
		all[i] = Found{S0: s0[i], Kept: int(x[0]), Total: int(x[1]), Loss: x[2], Accuracy: x[3], Seconds: x[4], Tickets: tickets[i]}
	}
	return all, nil
}

// Train trains a ticket in a run of its own.
func (t *Ticket) Train(ctx context.Context, setup Setup, epochs float64) (trainer.Result, error) {
	cfg, err := setup(epochs)
	if err != nil {
		return trainer.Result{}, err
	}
	cfg.Methods = append(cfg.Methods, NewRetrain(t))
	return trainer.Train(ctx, cfg, nil)
}
