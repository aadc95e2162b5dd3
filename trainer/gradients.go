package trainer

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// gradients sums what a step must sum over all shards: gradients and batch
// statistics. They lie in memory of the transport, in the order in which the
// backward pass completes them, cut into buckets; a bucket's sum over ranks
// begins as soon as the rank's last shard has completed it.
//
// With one shard a rank the program writes into the transport's memory. With
// more it writes behind it, and the accumulator adds the shards along the
// fixed tree.
type gradients struct {
	cfg    *Config
	layout collective.Layout
	region collective.Region
	arena  []float32      // the region: what is summed over ranks
	local  []float32      // what the program writes: the arena itself or memory behind it
	buf    kernels.Buffer // of local
	acc    *collective.Accumulator
	works  []collective.Work
	step   uint64
	onMark func(bucket int)

	packing *packing // nil: all is sent
}

func newGradients(ctx context.Context, cfg *Config, g *graph.Graph) (*gradients, error) {
	gr := &gradients{cfg: cfg}
	var params []collective.ParamSize
	for _, r := range g.Reduced() {
		params = append(params, collective.ParamSize{Name: r.Name, Elems: r.T.Len()})
	}
	var err error
	if gr.layout, err = collective.BuildLayout(params, cfg.BucketBytes, cfg.BucketBytes/4); err != nil {
		return nil, err
	}
	shards := cfg.Shards / cfg.Comm.Info().World
	bytes, n := gr.layout.Bytes, gr.layout.Bytes/4
	if shards > 1 {
		bytes *= 2
	}
	if gr.region, err = cfg.Comm.Alloc(ctx, bytes); err != nil {
		return nil, fmt.Errorf("gradient arena: %w", err)
	}
	gr.arena = gr.region.Float32s()[:n]
	gr.local = gr.arena
	gr.onMark = gr.complete
	gr.works = make([]collective.Work, len(gr.layout.Buckets))
	if shards > 1 {
		gr.local = gr.region.Float32s()[n : 2*n]
		gr.acc = collective.NewAccumulator([][]float32{gr.arena}, []collective.Part{{Hi: shards}})
	}
	if gr.buf, err = cfg.Device.Wrap(gr.local); err == nil {
		err = gr.attach(g)
	}
	if err != nil {
		gr.free(ctx)
		return nil, err
	}
	return gr, nil
}

// attach places the gradients of g and marks its buckets.
func (gr *gradients) attach(g *graph.Graph) error {
	reduced := g.Reduced()
	buckets := make([][]graph.Reduced, len(gr.layout.Buckets))
	for i, r := range reduced {
		if r.Name != gr.layout.Params[i].Name || r.T.Len() != gr.layout.Params[i].Elems {
			return fmt.Errorf("gradient %d is %s, the layout has %s there", i, r.Name, gr.layout.Params[i].Name)
		}
		r.T.Buf, r.T.Off = gr.buf, int(gr.layout.Offsets[i])
		k := gr.layout.BucketOf(i)
		buckets[k] = append(buckets[k], r)
	}
	g.MarkBuckets(buckets)
	return nil
}

// complete is called while a shard's backward pass goes on, with a bucket
// that it has finished.
func (gr *gradients) complete(bucket int) {
	lo, hi := gr.layout.Buckets[bucket].Floats()
	if gr.packing != nil {
		hi = lo + gr.packing.buckets[bucket].n
	}
	if gr.acc != nil {
		gr.collect(bucket, gr.acc.Buf(), lo, hi)
		gr.acc.Merge(lo, hi)
		if !gr.acc.Last() {
			return
		}
	} else {
		gr.collect(bucket, gr.arena, lo, hi)
	}
	if lo == hi {
		gr.works[bucket] = collective.Work{}
		return
	}
	gr.works[bucket] = gr.cfg.Comm.AllReduce(collective.Float32s(gr.arena[lo:hi]), collective.Sum,
		collective.OpMeta{Seq: gr.step, Bucket: int32(bucket), Sig: gr.layout.Digest.Sig()})
}

// collect brings what is sent of a bucket to elements [lo, hi) of dst.
func (gr *gradients) collect(bucket int, dst []float32, lo, hi int) {
	switch {
	case gr.packing != nil:
		gr.packing.buckets[bucket].collect(dst, gr.local)
	case gr.acc != nil:
		copy(dst[lo:hi], gr.local[lo:hi])
	}
}

// next says that a shard is complete.
func (gr *gradients) next() {
	if gr.acc != nil {
		gr.acc.Next()
	}
}

// wait blocks until every bucket is summed and makes the sums the gradients
// that the optimizer reads.
func (gr *gradients) wait(ctx context.Context) error {
	for _, w := range gr.works {
		if err := w.Wait(ctx); err != nil {
			return err
		}
	}
	switch {
	case gr.packing != nil:
		for _, b := range gr.packing.buckets {
			b.spread(gr.local, gr.arena)
		}
	case gr.acc != nil:
		copy(gr.local, gr.arena)
	}
	return nil
}

func (gr *gradients) free(ctx context.Context) {
	if gr.region != nil {
		gr.region.Free(ctx)
	}
}
