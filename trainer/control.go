package trainer

import (
	"context"
	"math"

	"github.com/espalier-ml/espalier/collective"
)

// control is the word that ranks agree on at the end of each step: loss, hits
// and count of every shard, and what ranks ask for. Each shard has its own
// places, zero on all ranks but its owner's, so the sum over ranks is exact,
// and the totals are added in the order of shards.
type control struct {
	comm   collective.Comm
	shards int
	word   []float64 // [shards][loss, hits, count], then stop, regroup
}

// agreed is what the ranks have agreed on.
type agreed struct {
	total         tally
	stop, regroup bool // some rank asks for it
}

// bucketControl tells the control word from gradient buckets.
const (
	bucketControl = -1
	bucketEval    = -2
)

func newControl(comm collective.Comm, shards int) *control {
	return &control{comm: comm, shards: shards, word: make([]float64, 3*shards+2)}
}

func (c *control) begin(stop, regroup bool) {
	clear(c.word)
	for i, asked := range [...]bool{stop, regroup} {
		if asked {
			c.word[3*c.shards+i] = 1
		}
	}
}

func (c *control) put(shard int, t tally) {
	copy(c.word[3*shard:], []float64{t.loss, t.hits, t.count})
}

// agree sums the word over ranks.
func (c *control) agree(ctx context.Context, step uint64) (a agreed, err error) {
	w := c.comm.AllReduce(collective.Float64s(c.word), collective.Sum, collective.OpMeta{Seq: step, Bucket: bucketControl})
	if err := w.Wait(ctx); err != nil {
		return a, err
	}
	for s := range c.shards {
		a.total.add(tally{c.word[3*s], c.word[3*s+1], c.word[3*s+2]})
	}
	a.stop, a.regroup = c.word[3*c.shards] > 0, c.word[3*c.shards+1] > 0
	return a, nil
}

// tally is an exact sum over rows: never a mean of means.
type tally struct{ loss, hits, count float64 }

func (t *tally) add(u tally) {
	t.loss += u.loss
	t.hits += u.hits
	t.count += u.count
}

func (t tally) meanLoss() float64 { return t.loss / math.Max(t.count, 1) }
func (t tally) accuracy() float64 { return t.hits / math.Max(t.count, 1) }
func (t tally) finite() bool      { return !math.IsNaN(t.loss) && !math.IsInf(t.loss, 0) }
