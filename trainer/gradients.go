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
// A rank adds its shards along the fixed tree, to one sum for each of its parts
// (see collective.Parts), and the transport adds the parts. With one shard a
// rank the program writes into the transport's memory; with more it writes
// behind it, and the accumulator adds.
type gradients struct {
	comm   collective.Comm
	shards int // of a step
	layout collective.Layout
	region collective.Region
	arenas [][]float32    // the region: what is summed over ranks, by part; the sum comes to the first
	local  []float32      // what the program writes: the arena itself or memory behind it
	buf    kernels.Buffer // of local
	acc    *collective.Accumulator
	sent   [][]collective.Buf // by bucket and part
	works  []collective.Work
	step   uint64
	clock  *clock
	onMark func(bucket int)

	packing *packing // nil: all is sent
}

func newGradients(ctx context.Context, cfg *Config, comm collective.Comm, g *graph.Graph) (*gradients, error) {
	gr := &gradients{comm: comm, shards: cfg.Shards, clock: &clock{}}
	var params []collective.ParamSize
	for _, r := range g.Reduced() {
		params = append(params, collective.ParamSize{Name: r.Name, Elems: r.T.Len()})
	}
	var err error
	if gr.layout, err = collective.BuildLayout(params, cfg.BucketBytes, max(1, cfg.BucketBytes/4)); err != nil {
		return nil, err
	}
	if err := gr.alloc(ctx); err != nil {
		return nil, fmt.Errorf("gradient arena: %w", err)
	}
	gr.onMark = gr.complete
	gr.works = make([]collective.Work, len(gr.layout.Buckets))
	gr.pack(nil)
	if gr.buf, err = cfg.Device.Wrap(gr.local); err != nil {
		return nil, err
	}
	return gr, gr.attach(g)
}

// alloc takes memory of the transport: an arena for each part that any rank
// has, and one to write to where a rank has several shards.
func (gr *gradients) alloc(ctx context.Context) error {
	info := gr.comm.Info()
	d, err := collective.Divide(gr.shards, info.World)
	if err != nil {
		return err
	}
	arenas := d.Most
	if gr.shards > info.World {
		arenas++
	}
	n := int(gr.layout.Bytes / 4)
	if gr.region, err = gr.comm.Alloc(ctx, int64(arenas)*gr.layout.Bytes); err != nil {
		return err
	}
	arena := func(i int) []float32 { return gr.region.Float32s()[i*n : (i+1)*n : (i+1)*n] }
	parts := d.Of[info.Rank]
	for i := range parts {
		gr.arenas = append(gr.arenas, arena(i))
	}
	gr.local = gr.arenas[0]
	if gr.shards > info.World {
		gr.local = arena(arenas - 1)
		gr.acc = collective.NewAccumulator(gr.arenas, parts)
	}
	return nil
}

// pack says what is sent of every bucket; nil means all.
func (gr *gradients) pack(p *packing) {
	gr.packing = p
	gr.sent = gr.sent[:0]
	for b := range gr.layout.Buckets {
		lo, hi := gr.span(b)
		var parts []collective.Buf
		for _, a := range gr.arenas {
			parts = append(parts, collective.Float32s(a[lo:hi]))
		}
		gr.sent = append(gr.sent, parts)
	}
}

// span are the elements of an arena that are sent of a bucket.
func (gr *gradients) span(bucket int) (lo, hi int) {
	lo, hi = gr.layout.Buckets[bucket].Floats()
	if gr.packing != nil {
		hi = lo + gr.packing.buckets[bucket].n
	}
	return lo, hi
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
	lo, hi := gr.span(bucket)
	if gr.acc != nil {
		gr.collect(bucket, gr.acc.Buf(), lo, hi)
		gr.acc.Merge(lo, hi)
		if !gr.acc.Last() {
			return
		}
	} else {
		gr.collect(bucket, gr.arenas[0], lo, hi)
	}
	if lo == hi {
		gr.works[bucket] = collective.Work{}
		return
	}
	gr.clock.sending()
	gr.works[bucket] = gr.comm.SumShards(gr.sent[bucket], gr.shards,
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

// wait blocks until every bucket is summed.
func (gr *gradients) wait(ctx context.Context) error {
	for _, w := range gr.works {
		if err := w.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// place makes the sums the gradients that the optimizer reads.
func (gr *gradients) place() {
	switch {
	case gr.packing != nil:
		for _, b := range gr.packing.buckets {
			b.spread(gr.local, gr.arenas[0])
		}
	case gr.acc != nil:
		copy(gr.local, gr.arenas[0])
	}
}

// free gives the memory back to the transport.
func (gr *gradients) free(ctx context.Context) error { return gr.region.Free(ctx) }
