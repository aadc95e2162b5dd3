package sparsify

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/trainer"
)

// Experiment measures what thinning costs on one network and data set: the
// dense network, the same thinned while it trains, and tickets of every round
// trained again, all for several s₀ and seeds.
type Experiment struct {
	// Setup is that of a seed.
	Setup func(seed uint64) Setup
	// Config is what searches have in common; Goal and S0 are set by the
	// experiment. Its Epochs must be set: the length of a round and of the
	// training of dense networks and tickets.
	Config Config
	S0     []float64
	Seeds  []uint64
	// Tune is how long thinned networks are fine-tuned, in epochs.
	Tune float64
}

// Kind says what was trained.
type Kind string

// What was trained.
const (
	KindDense  Kind = "dense"
	KindPruned Kind = "pruned" // thinned in one round, then fine-tuned
	KindTicket Kind = "ticket" // of a round of a search, trained again
)

// Row is the result of one network.
type Row struct {
	Kind           Kind
	Seed           uint64
	S0             float64
	Round          int // of a ticket, from 1
	Kept, Total    int // weights under masks
	Loss, Accuracy float64
	Seconds        float64 // of training it; for a ticket without its search
}

// Density is the share of weights under masks that are kept; 1 for dense
// networks.
func (r Row) Density() float64 {
	if r.Kind == KindDense {
		return 1
	}
	return float64(r.Kept) / float64(max(1, r.Total))
}

// item is one share of the work: a run and what follows from it.
type item struct {
	kind Kind
	seed uint64
	s0   float64
}

func (e *Experiment) items() (all []item) {
	for _, seed := range e.Seeds {
		all = append(all, item{KindDense, seed, 0})
	}
	for _, kind := range []Kind{KindPruned, KindTicket} {
		for _, seed := range e.Seeds {
			for _, s0 := range e.S0 {
				all = append(all, item{kind, seed, s0})
			}
		}
	}
	return all
}

// Run makes all runs, shared among the ranks of comm. note, when not nil,
// hears of every row as it is made here.
func (e *Experiment) Run(ctx context.Context, comm collective.Comm, note func(Row)) ([]Row, error) {
	if e.Config.Epochs <= 0 {
		return nil, fmt.Errorf("sparsify: the experiment needs rounds of a given length, not of %v epochs", e.Config.Epochs)
	}
	const fields = 5
	items := e.items()
	width := fields * e.Config.Rounds
	numbers, err := Parallel(ctx, comm, len(items), width, func(ctx context.Context, i int) ([]float64, error) {
		rows, err := e.run(ctx, items[i])
		out := make([]float64, width)
		for k, r := range rows {
			if note != nil {
				note(r)
			}
			copy(out[k*fields:], []float64{float64(r.Kept), float64(r.Total), r.Loss, r.Accuracy, r.Seconds})
		}
		return out, err
	})
	if err != nil {
		return nil, err
	}
	var all []Row
	for i, it := range items {
		for k := range it.rows(e.Config.Rounds) {
			x := numbers[i][k*fields:]
			all = append(all, it.row(k, int(x[0]), int(x[1]), x[2], x[3], x[4]))
		}
	}
	return all, nil
}

// rows is the number of rows that an item gives.
func (it item) rows(rounds int) int {
	if it.kind == KindTicket {
		return rounds
	}
	return 1
}

func (it item) row(k, kept, total int, loss, accuracy, seconds float64) Row {
	r := Row{Kind: it.kind, Seed: it.seed, S0: it.s0, Kept: kept, Total: total, Loss: loss, Accuracy: accuracy, Seconds: seconds}
	if it.kind == KindTicket {
		r.Round = k + 1
	}
	return r
}

func (e *Experiment) run(ctx context.Context, it item) ([]Row, error) {
	setup, c := e.Setup(it.seed), e.Config
	c.S0 = it.s0
	switch it.kind {
	case KindDense:
		cfg, err := setup(c.Epochs)
		if err != nil {
			return nil, err
		}
		res, err := trainer.Train(ctx, cfg, nil)
		if err != nil {
			return nil, err
		}
		loss, accuracy, seconds := measured(res)
		return []Row{it.row(0, 0, 0, loss, accuracy, seconds)}, nil
	case KindPruned:
		c.Goal, c.Rounds = GoalPrune, 1
		f, err := Search(ctx, setup, c.Start+c.Epochs+e.Tune, c)
		return []Row{it.row(0, f.Kept, f.Total, f.Loss, f.Accuracy, f.Seconds)}, err
	}
	return e.tickets(ctx, setup, c, it)
}

// tickets searches and trains the tickets of all rounds; that of the last is
// trained by the search itself.
func (e *Experiment) tickets(ctx context.Context, setup Setup, c Config, it item) ([]Row, error) {
	c.Goal = GoalTicket
	rounds := float64(c.Rounds)
	f, err := Search(ctx, setup, c.Start+(rounds+1)*c.Epochs, c)
	if err != nil {
		return nil, err
	}
	var all []Row
	for k, t := range f.Tickets[:c.Rounds-1] {
		res, err := t.Train(ctx, setup, c.Epochs)
		if err != nil {
			return nil, fmt.Errorf("ticket of round %d: %w", k+1, err)
		}
		loss, accuracy, seconds := measured(res)
		all = append(all, it.row(k, t.Kept(), t.Total(), loss, accuracy, seconds))
	}
	return append(all, it.row(c.Rounds-1, f.Kept, f.Total, f.Loss, f.Accuracy, f.Seconds/(rounds+1))), nil
}

// Table writes rows as a table in Markdown, means and standard deviations
// over seeds, with the difference to the dense network in points.
func Table(rows []Row) string {
	type key struct {
		kind  Kind
		s0    float64
		round int
	}
	var order []key
	groups := map[key][]Row{}
	for _, r := range rows {
		k := key{r.Kind, r.S0, r.Round}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	dense, _ := spread(groups[key{kind: KindDense}], func(r Row) float64 { return 100 * r.Accuracy })
	var b strings.Builder
	b.WriteString("| network | s0 | round | weights kept, % | accuracy, % | to dense, points | seconds |\n|---|---|---|---|---|---|---|\n")
	for _, k := range order {
		g := groups[k]
		acc, dev := spread(g, func(r Row) float64 { return 100 * r.Accuracy })
		kept, _ := spread(g, func(r Row) float64 { return 100 * r.Density() })
		secs, _ := spread(g, func(r Row) float64 { return r.Seconds })
		s0, round := fmt.Sprint(k.s0), fmt.Sprint(k.round)
		if k.kind == KindDense {
			s0 = ""
		}
		if k.round == 0 {
			round = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %.2f ± %.2f | %+.2f | %.1f |\n", k.kind, s0, round, kept, acc, dev, acc-dense, secs)
	}
	return b.String()
}

// spread is mean and standard deviation over rows.
func spread(rows []Row, of func(Row) float64) (mean, dev float64) {
	if len(rows) == 0 {
		return math.NaN(), math.NaN()
	}
	for _, r := range rows {
		mean += of(r) / float64(len(rows))
	}
	for _, r := range rows {
		dev += (of(r) - mean) * (of(r) - mean)
	}
	if len(rows) > 1 {
		dev /= float64(len(rows) - 1)
	}
	return mean, math.Sqrt(dev)
}
