package step

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// seed of weights and data.
const seed = 1

// bucketBytes is the trainer's default.
const bucketBytes = 1 << 20

// engine is one worker's compiled step, laid out as the trainer does it with
// one shard a rank: the program writes gradients into the transport's memory.
type engine struct {
	ctx    context.Context
	dev    kernels.Device
	comm   collective.Comm
	graph  *graph.Graph
	prog   *graph.Program
	opt    *optim.State
	env    kernels.Env
	layout collective.Layout
	arena  []float32
	works  []collective.Work
	onMark func(int)
	rows   []float32
}

func newEngine(ctx context.Context, dev kernels.Device, comm collective.Comm, spec models.Spec, batch int) (*engine, error) {
	e := &engine{ctx: ctx, dev: dev, comm: comm}
	var err error
	if e.graph, err = models.Trace(spec, graph.Config{Train: true}, batch); err != nil {
		return nil, err
	}
	drawn, err := e.placeParams()
	if err != nil {
		return nil, err
	}
	defer func() { <-drawn }()
	if err := e.placeGradients(); err != nil {
		return nil, err
	}
	if e.prog, err = e.graph.Compile(dev); err != nil {
		return nil, err
	}
	e.rows = make([]float32, e.prog.Loss().Len())
	world := float32(comm.Info().World)
	e.env = kernels.Env{Seed: seed, Shard: int(comm.Info().Rank), GradScale: 1 / (float32(len(e.rows)) * world),
		Rate: learningRate, GradFactor: 1, WeightDecay: 1}
	var running []kernels.Op
	for _, r := range e.graph.Running() {
		running = append(running, &kernels.Axpby{X: r.Batch, Y: r.State.W, Alpha: 0.1 * r.Scale / world, Beta: 0.9})
	}
	cfg := optim.Config{Kind: optim.SGD, LR: learningRate, Momentum: momentum, WeightDecay: weightDecay}
	if e.opt, err = optim.New(dev, cfg, e.graph, []uint64{0}, running); err != nil {
		return nil, err
	}
	return e, e.feed()
}

// placeParams gives parameters and running statistics memory, and first values
// before drawn is closed: nothing that is set up meanwhile reads them.
func (e *engine) placeParams() (drawn chan struct{}, err error) {
	all := append(e.graph.Params(), e.graph.States()...)
	off := 0
	for _, p := range all {
		p.W.Off = off
		off += (p.W.Bytes() + 63) &^ 63
	}
	buf, err := e.dev.Alloc(off)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	for _, p := range all {
		p.W.Buf = buf
	}
	drawn = make(chan struct{})
	go func() {
		for _, p := range all {
			p.Initial(seed, cpu.F32(p.W))
		}
		close(drawn)
	}()
	return drawn, nil
}

// placeGradients lays gradients and batch statistics out in the transport's
// memory, in buckets that are summed while the backward pass goes on.
func (e *engine) placeGradients() error {
	reduced := e.graph.Reduced()
	sizes := make([]collective.ParamSize, len(reduced))
	for i, r := range reduced {
		sizes[i] = collective.ParamSize{Name: r.Name, Elems: r.T.Len()}
	}
	var err error
	if e.layout, err = collective.BuildLayout(sizes, bucketBytes, bucketBytes/4); err != nil {
		return err
	}
	region, err := e.comm.Alloc(e.ctx, e.layout.Bytes)
	if err != nil {
		return fmt.Errorf("gradients: %w", err)
	}
	e.arena = region.Float32s()
	buf, err := e.dev.Wrap(e.arena)
	if err != nil {
		return fmt.Errorf("gradients: %w", err)
	}
	buckets := make([][]graph.Reduced, len(e.layout.Buckets))
	for i, r := range reduced {
		r.T.Buf, r.T.Off = buf, int(e.layout.Offsets[i])
		k := e.layout.BucketOf(i)
		buckets[k] = append(buckets[k], r)
	}
	e.graph.MarkBuckets(buckets)
	e.works = make([]collective.Work, len(buckets))
	e.onMark = e.reduce
	return nil
}

func (e *engine) reduce(bucket int) {
	lo, hi := e.layout.Buckets[bucket].Floats()
	e.works[bucket] = e.comm.AllReduce(collective.Float32s(e.arena[lo:hi]), collective.Sum,
		collective.OpMeta{Seq: e.env.Step, Bucket: int32(bucket), Sig: e.layout.Digest.Sig()})
}

// feed fills the inputs once: normal pixels or uniform tokens, uniform targets.
func (e *engine) feed() error {
	key := philox.NewKey(seed, "bench/step").With(uint64(e.env.Shard))
	x, y := e.prog.Input("x"), e.prog.Input("y")
	classes := e.prog.Graph.Params()[len(e.prog.Graph.Params())-1].W.Len() // bias of the last layer
	if x.DType == kernels.I32 {
		if err := e.dev.WriteI32(x, draw(key.With(1), x.Len(), classes)); err != nil {
			return err
		}
	} else {
		values := make([]float32, x.Len())
		key.Normal(philox.Counter{}, 1, values)
		if err := e.dev.WriteF32(x, values); err != nil {
			return err
		}
	}
	return e.dev.WriteI32(y, draw(key.With(2), y.Len(), classes))
}

// draw returns n numbers below limit.
func draw(key philox.Key, n, limit int) []int32 {
	values := make([]int32, n)
	for i := range values {
		values[i] = int32(philox.Below(key.Index(uint64(i))[0], limit))
	}
	return values
}

// step is what is measured.
func (e *engine) step() error {
	if err := e.prog.Run(&e.env, e.onMark); err != nil {
		return err
	}
	for _, w := range e.works {
		if err := w.Wait(e.ctx); err != nil {
			return err
		}
	}
	if err := e.opt.Step(&e.env, e.env.Step); err != nil {
		return err
	}
	e.env.Step++
	return nil
}

// loss is the mean loss of the last step's rows.
func (e *engine) loss() (float64, error) {
	if err := e.dev.ReadF32(e.prog.Loss(), e.rows); err != nil {
		return 0, err
	}
	var sum float64
	for _, v := range e.rows {
		sum += float64(v)
	}
	return sum / float64(len(e.rows)), nil
}

func (e *engine) close() {
	e.opt.Close()
	e.prog.Close()
}
