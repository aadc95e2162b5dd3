package trainer

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// network is the model at its current shape: compiled programs, parameters
// and running statistics, and the optimizer. A mutation makes a new one.
type network struct {
	cfg   *Config
	sizes graph.Sizes
	batch int // global batch that prog is compiled for

	graph *graph.Graph   // traced for training
	prog  *graph.Program // one shard of a step
	grads *gradients
	opt   *optim.State

	eval     *graph.Program // compiled when first needed
	weights  kernels.Buffer
	host     []float32 // scratch for one parameter
	rows     []float32 // scratch for losses of a program's rows
	normOps  kernels.Executable
	normOuts []*kernels.Tensor
	normBuf  kernels.Buffer
}

// newNetwork traces and compiles the model. Parameters are left zero.
// births are the update counts at which the growth stages began.
// Its gradients lie in memory of comm.
func newNetwork(ctx context.Context, cfg *Config, comm collective.Comm, sizes graph.Sizes, batch int, births []uint64) (*network, error) {
	n := &network{cfg: cfg, sizes: sizes, batch: batch}
	if err := n.build(ctx, comm, births); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) build(ctx context.Context, comm collective.Comm, births []uint64) (err error) {
	cfg := n.cfg
	if n.graph, err = models.Trace(cfg.Model, graph.Config{Sizes: n.sizes, Train: true, Weights: cfg.weights()}, n.batch/cfg.Shards); err != nil {
		return err
	}
	if err := n.place(); err != nil {
		return err
	}
	if n.grads, err = newGradients(ctx, cfg, comm, n.graph); err != nil {
		return err
	}
	if n.prog, err = n.graph.Compile(cfg.Device); err != nil {
		return err
	}
	n.rows = make([]float32, n.prog.Loss().Len())
	if n.opt, err = optim.New(cfg.Device, cfg.Optim, n.graph, births, n.running()); err != nil {
		return err
	}
	return n.compileNorms()
}

// place gives parameters, running statistics and the gradients that methods
// make one buffer.
func (n *network) place() error {
	off, largest := 0, 0
	put := func(t *kernels.Tensor) {
		t.Off = off
		off += (t.Bytes() + 63) &^ 63
	}
	for _, p := range n.all() {
		put(p.W)
		if p.Local {
			put(p.G)
		}
		largest = max(largest, p.W.Len())
	}
	var err error
	if n.weights, err = n.cfg.Device.Alloc(off); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	for _, p := range n.all() {
		p.W.Buf = n.weights
		if p.Local {
			p.G.Buf = n.weights
		}
	}
	n.host = make([]float32, largest)
	return nil
}

// all lists parameters, then running statistics.
func (n *network) all() []*graph.Param {
	ps := n.graph.Params()
	return append(ps[:len(ps):len(ps)], n.graph.States()...)
}

// running describes the update of running statistics: a moving average with
// momentum 0.1 of the mean over shards of what each shard measured.
func (n *network) running() []kernels.Op {
	const momentum = 0.1
	var ops []kernels.Op
	for _, r := range n.graph.Running() {
		ops = append(ops, &kernels.Axpby{X: r.Batch, Y: r.State.W,
			Alpha: momentum * r.Scale / float32(n.cfg.Shards), Beta: 1 - momentum})
	}
	return ops
}

// compileNorms prepares the norm of the reduced gradient.
func (n *network) compileNorms() error {
	var ops []kernels.Op
	for i, p := range n.graph.Params() {
		out := kernels.New(p.Name+".norm", kernels.F32, 1)
		out.Off = 64 * i
		n.normOuts = append(n.normOuts, out)
		ops = append(ops, &kernels.BlockSquares{W: p.G, Out: out, Blocks: kernels.Blocks{Rows: p.G.Rows(), Cols: p.G.Dim(-1), N: 1}})
	}
	var err error
	if n.normBuf, err = n.cfg.Device.Alloc(64 * len(ops)); err != nil {
		return err
	}
	for _, t := range n.normOuts {
		t.Buf = n.normBuf
	}
	n.normOps, err = n.cfg.Device.Compile(ops)
	return err
}

// gradSquares is Σ g² over all parameters.
func (n *network) gradSquares(env *kernels.Env) (float64, error) {
	if err := n.normOps.Run(env, nil); err != nil {
		return 0, err
	}
	var sum float64
	one := n.host[:1]
	for _, t := range n.normOuts {
		if err := n.cfg.Device.ReadF32(t, one); err != nil {
			return 0, err
		}
		sum += float64(one[0])
	}
	return sum, nil
}

// initialize draws the first values of every parameter.
func (n *network) initialize() error {
	for _, p := range n.all() {
		buf := n.host[:p.W.Len()]
		p.Initial(n.cfg.Seed, buf)
		if err := n.cfg.Device.WriteF32(p.W, buf); err != nil {
			return err
		}
	}
	return nil
}

// evaluator is the program for evaluation; it shares the parameters' memory.
func (n *network) evaluator() (*graph.Program, error) {
	if n.eval != nil {
		return n.eval, nil
	}
	g, err := models.Trace(n.cfg.Model, graph.Config{Sizes: n.sizes, Weights: n.cfg.weights()}, n.cfg.EvalRows)
	if err != nil {
		return nil, err
	}
	share := func(from, to []*graph.Param) {
		for i, p := range to {
			p.W.Buf, p.W.Off = from[i].W.Buf, from[i].W.Off
		}
	}
	share(n.graph.Params(), g.Params())
	share(n.graph.States(), g.States())
	n.eval, err = g.Compile(n.cfg.Device)
	return n.eval, err
}

// close frees the network's memory, but for the gradients: theirs belongs to
// the communicator.
func (n *network) close() {
	if n.prog != nil {
		n.prog.Close()
	}
	if n.eval != nil {
		n.eval.Close()
	}
	if n.opt != nil {
		n.opt.Close()
	}
	if n.normOps != nil {
		n.normOps.Close()
	}
	for _, b := range []kernels.Buffer{n.weights, n.normBuf} {
		if b != nil {
			b.Close()
		}
	}
}
