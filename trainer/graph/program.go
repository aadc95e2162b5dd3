package graph

import (
	"fmt"
	"maps"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// Program is a compiled graph: one shard of one step at one shape. It runs in
// one goroutine at a time.
type Program struct {
	Graph *Graph
	// ForwardFlops and Flops count multiply-adds as two, of the forward
	// pass and of all ops.
	ForwardFlops, Flops int64

	exec  kernels.Executable
	arena kernels.Buffer
	io    kernels.Buffer
}

// Compile plans memory and compiles the graph for a device. Parameters,
// states, gradients and statistics must have been placed by the caller; the
// program owns inputs, results and everything in between.
func (g *Graph) Compile(dev kernels.Device) (*Program, error) {
	if g.forward == 0 {
		g.fuse()
		g.forward = len(g.ops)
	}
	for _, p := range append(g.params[:len(g.params):len(g.params)], g.states...) {
		if p.W.Buf == nil || p.G != nil && p.G.Buf == nil {
			return nil, fmt.Errorf("parameter %s has no memory", p.Name)
		}
	}
	p := &Program{Graph: g}
	for i, op := range g.ops {
		f := kernels.Flops(op)
		p.Flops += f
		if i < g.forward {
			p.ForwardFlops += f
		}
	}
	if err := p.allocate(dev); err != nil {
		p.Close()
		return nil, err
	}
	var err error
	if p.exec, err = dev.Compile(g.ops); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Program) allocate(dev kernels.Device) error {
	g := p.Graph
	var io []*kernels.Tensor
	for _, name := range slices.Sorted(maps.Keys(g.inputs)) {
		io = append(io, g.inputs[name].T)
	}
	if g.loss != nil {
		io = append(io, g.loss.Loss, g.loss.Hit)
	}
	if g.logits != nil && !g.cfg.Train {
		io = append(io, g.logits.T.Root())
	}
	off := 0
	offs := make([]int, len(io))
	for i, t := range io {
		offs[i] = off
		off += (t.Bytes() + align - 1) &^ (align - 1)
	}
	var err error
	if p.io, err = dev.Alloc(off); err != nil {
		return fmt.Errorf("inputs and results: %w", err)
	}
	for i, t := range io {
		t.Buf, t.Off = p.io, offs[i]
	}
	spans, err := dev.Schedule(g.ops)
	if err != nil {
		return err
	}
	lives, size := planArena(g.ops, spans)
	if p.arena, err = dev.Alloc(size); err != nil {
		return fmt.Errorf("arena of a step: %w", err)
	}
	for _, l := range lives {
		l.t.Buf, l.t.Off = p.arena, l.block.Off
	}
	return nil
}

// Input is the memory of a declared input.
func (p *Program) Input(name string) *kernels.Tensor {
	v := p.Graph.inputs[name]
	if v == nil {
		panic(fmt.Sprintf("graph: no input %q", name))
	}
	return v.T
}

// Loss and Hit have one entry a row: see kernels.SoftmaxXent.
func (p *Program) Loss() *kernels.Tensor { return p.Graph.loss.Loss }

// Hit is 1 for every row whose largest logit is the target.
func (p *Program) Hit() *kernels.Tensor { return p.Graph.loss.Hit }

// Logits are kept by programs that were traced for evaluation.
func (p *Program) Logits() *kernels.Tensor { return p.Graph.logits.T }

// Run executes the program; see kernels.Executable.
func (p *Program) Run(env *kernels.Env, onMark func(id int)) error { return p.exec.Run(env, onMark) }

// Bytes is the memory of a step without parameters and gradients.
func (p *Program) Bytes() int { return p.arena.Bytes() + p.io.Bytes() + p.exec.Scratch() }

// Close frees the program's memory.
func (p *Program) Close() error {
	if p.exec != nil {
		p.exec.Close()
	}
	for _, b := range []kernels.Buffer{p.arena, p.io} {
		if b != nil {
			b.Close()
		}
	}
	return nil
}
