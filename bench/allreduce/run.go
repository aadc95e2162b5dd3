package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Plan says what to measure.
type Plan struct {
	Self    []string // arguments with which this program reaches Main
	Sizes   []int    // in bytes, multiples of 256
	Turns   int
	Batches int
	Only    []string // contenders; nil for all that are installed
}

// Table is what came of it for a number of ranks.
type Table struct {
	World   int
	Names   []string         // of contenders that took part
	Skipped []string         // and why others did not
	Rows    map[string][]Row // by contender
}

// Row is a contender at a size.
type Row struct {
	Bytes            int
	Min, Median, Max time.Duration
	Wrong            int
	Allocs           float64 // an operation, of the rank and turn with fewest
}

// batchTime is how long a batch takes, if operations are short enough.
const batchTime = 20 * time.Millisecond

// Run measures a number of ranks. Each row is printed when it is there.
func (p *Plan) Run(ctx context.Context, world int, out io.Writer) (Table, error) {
	t := Table{World: world, Rows: map[string][]Row{}}
	var all []*contender
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	for _, s := range starters {
		if p.Only != nil && !slices.Contains(p.Only, s.name) {
			continue
		}
		c, err := s.start(ctx, p, s.name, world)
		var missing absent
		switch {
		case errors.As(err, &missing):
			t.Skipped = append(t.Skipped, s.name+": "+missing.why)
		case err != nil:
			return t, err
		default:
			all, t.Names = append(all, c), append(t.Names, s.name)
		}
	}
	head(out, world, t.Skipped)
	for _, bytes := range p.Sizes {
		rows, err := p.size(ctx, all, bytes)
		if err != nil {
			return t, err
		}
		for i, c := range all {
			t.Rows[c.name] = append(t.Rows[c.name], rows[i])
			fmt.Fprintln(out, line(c.name, world, rows[i]))
		}
	}
	return t, nil
}

// size gives every contender its turns at a size.
func (p *Plan) size(ctx context.Context, all []*contender, bytes int) ([]Row, error) {
	counts, batches := make([]int, len(all)), make([]int, len(all))
	for i, c := range all { // also warms up
		n := 1
		for {
			t, err := c.run(bytes, n, 1)
			if err != nil {
				return nil, err
			}
			took := max(t.batches[0], 1)
			counts[i], batches[i] = int(min(max(batchTime/took, 1), 20000)), p.Batches
			if took > 5*batchTime {
				batches[i] = 1
			}
			if counts[i] < 10*n { // the estimate was made with enough of them
				break
			}
			n = min(10*n, counts[i])
		}
	}
	turns := make([][]turn, len(all))
	for range p.Turns {
		for i, c := range all {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t, err := c.run(bytes, counts[i], batches[i])
			if err != nil {
				return nil, err
			}
			turns[i] = append(turns[i], t)
		}
	}
	rows := make([]Row, len(all))
	for i := range all {
		rows[i] = summarise(bytes, turns[i])
	}
	return rows, nil
}

func summarise(bytes int, turns []turn) Row {
	r := Row{Bytes: bytes, Allocs: turns[0].allocs}
	var took []time.Duration
	for _, t := range turns {
		took = append(took, t.batches...)
		r.Wrong += t.wrong
		r.Allocs = min(r.Allocs, t.allocs)
	}
	slices.Sort(took)
	r.Min, r.Median, r.Max = took[0], took[len(took)/2], took[len(took)-1]
	return r
}
