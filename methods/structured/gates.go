package structured

import (
	"errors"
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// prefix begins the names of the states that hold masks: one a Dim on its
// norms' gains and shifts, one a block on those of its last norm, and one a
// weight where masks stand on its rows.
const prefix = "structured."

// masking says what multiplies the parameters of a network.
type masking struct {
	states map[string][]string // by parameter: names of the states
	graph  *graph.Graph        // being traced
	values map[string]*graph.Value
}

func newMasking(s *Space) *masking {
	m := &masking{states: map[string][]string{}}
	put := func(param, state string) { m.states[param] = append(m.states[param], prefix+state) }
	for _, g := range s.Groups {
		for _, n := range g.Norms {
			put(n[0], g.Dim)
			put(n[1], g.Dim)
		}
		for _, r := range g.Readers {
			put(r, r)
		}
	}
	for _, b := range s.Blocks {
		put(b.Norm[0], b.Norm[0])
		put(b.Norm[1], b.Norm[0])
	}
	return m
}

// weight multiplies v, which stands for p, by the states that are on it.
func (m *masking) weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	if m.graph != g {
		m.graph, m.values = g, map[string]*graph.Value{}
	}
	for _, name := range m.states[p.Name] {
		s := m.values[name]
		if s == nil {
			s = g.Param(name, graph.ParamSpec{Axes: p.Axes, In: -1, Out: p.Out, Init: graph.InitOne, NoDecay: true, State: true})
			m.values[name] = s
		}
		v = v.Mul(s)
	}
	return v
}

// engine brings masks into one network on its device, and reads from its
// reduced gradients what the masks' are. With masks on a norm's gain γ and
// shift β, D = (γ·dγ + β·dβ)/μ; on rows of weights, D = ⟨W, dW⟩/μ.
type engine struct {
	space  *Space
	graph  *graph.Graph
	dev    kernels.Device
	norms  [][]normPair // by group, then by block
	states []*graph.Param
	rows   [][]reader // by group
	host   [4][]float32

	memory         kernels.Buffer
	expand, reduce kernels.Executable // nil where no rows are masked
}

type normPair struct{ gamma, beta *graph.Param }

// reader is a weight [pre, n, post] with masks on its n rows.
type reader struct {
	w, gate    *graph.Param
	axis       graph.Axis
	masks, sum *kernels.Tensor // [n]
}

func newEngine(s *Space, g *graph.Graph, dev kernels.Device) (*engine, error) {
	e := &engine{space: s, graph: g, dev: dev}
	all := map[string]*graph.Param{}
	longest := 1
	for _, p := range append(e.graph.Params()[:len(e.graph.Params()):len(e.graph.Params())], e.graph.States()...) {
		all[p.Name] = p
		for _, a := range p.Axes {
			longest = max(longest, a.Size())
		}
	}
	for i := range e.host {
		e.host[i] = make([]float32, longest)
	}
	for _, g := range s.Groups {
		var pairs []normPair
		for _, n := range g.Norms {
			pairs = append(pairs, normPair{all[n[0]], all[n[1]]})
		}
		e.norms, e.states = append(e.norms, pairs), append(e.states, all[prefix+g.Dim])
		var rows []reader
		for _, name := range g.Readers {
			w := all[name]
			rows = append(rows, reader{w: w, gate: all[prefix+name], axis: w.Axes[w.In]})
		}
		e.rows = append(e.rows, rows)
	}
	for _, b := range s.Blocks {
		e.norms = append(e.norms, []normPair{{all[b.Norm[0]], all[b.Norm[1]]}})
		e.states = append(e.states, all[prefix+b.Norm[0]])
	}
	if err := e.compile(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// compile describes what happens to rows of weights: masks are repeated over
// a weight, and W⊙dW is summed over all but the rows.
func (e *engine) compile() (err error) {
	var expand, reduce []kernels.Op
	var own []*kernels.Tensor
	scratch, largest := kernels.New("rows", kernels.F32, 0), 0
	for _, rows := range e.rows {
		for i := range rows {
			r := &rows[i]
			pre, n, post := fold3(r.w)
			r.masks, r.sum = kernels.New(r.w.Name+".masks", kernels.F32, n), kernels.New(r.w.Name+".slopes", kernels.F32, n)
			own = append(own, r.masks, r.sum)
			largest = max(largest, pre*n*post)
		}
	}
	if len(own) == 0 {
		return nil
	}
	scratch = kernels.New("rows", kernels.F32, largest)
	partial := kernels.New("rows.partial", kernels.F32, largest)
	off := 0
	own = append(own, scratch, partial)
	for _, t := range own {
		t.Off = off
		off += (t.Bytes() + 63) &^ 63
	}
	if e.memory, err = e.dev.Alloc(off); err != nil {
		return fmt.Errorf("masks: %w", err)
	}
	for _, t := range own {
		t.Buf = e.memory
	}
	for _, rows := range e.rows {
		for _, r := range rows {
			pre, n, post := fold3(r.w)
			gate := r.gate.W.View(0, n, post)
			z := scratch.View(0, r.w.W.Shape...)
			reduce = append(reduce, &kernels.Binary{A: r.w.W, B: r.w.G, Y: z, Fn: kernels.Mul})
			if pre == 1 {
				expand = append(expand, &kernels.Expand{X: r.masks, Y: gate, Axis: 1, Alpha: 1})
				reduce = append(reduce, &kernels.Reduce{X: scratch.View(0, n, post), Y: r.sum, Axis: 1})
				continue
			}
			once, part := scratch.View(0, n, post), partial.View(0, pre, n)
			expand = append(expand, &kernels.Expand{X: r.masks, Y: once, Axis: 1, Alpha: 1},
				&kernels.Expand{X: once, Y: r.gate.W.View(0, pre, n, post), Axis: 0, Alpha: 1})
			reduce = append(reduce, &kernels.Reduce{X: scratch.View(0, pre, n, post), Y: part, Axis: 2},
				&kernels.Reduce{X: part, Y: r.sum, Axis: 0})
		}
	}
	if e.expand, err = e.dev.Compile(expand); err != nil {
		return err
	}
	e.reduce, err = e.dev.Compile(reduce)
	return err
}

// fold3 is the shape of a weight around its input axis.
func fold3(w *graph.Param) (pre, n, post int) {
	pre, post = 1, 1
	for i, a := range w.Axes {
		switch {
		case i < w.In:
			pre *= a.Size()
		case i > w.In:
			post *= a.Size()
		}
	}
	return pre, w.Axes[w.In].Size(), post
}

// set writes masks: mask gives that of unit u of the present ones of group g,
// or of block b when g is -1.
func (e *engine) set(env *kernels.Env, mask func(g, u int) float32) error {
	for i, s := range e.states {
		if s == nil {
			continue
		}
		v := e.host[0][:s.W.Len()]
		for u := range v {
			if i < len(e.space.Groups) {
				v[u] = mask(i, u)
			} else {
				v[u] = mask(-1, i-len(e.space.Groups))
			}
		}
		if err := e.dev.WriteF32(s.W, v); err != nil {
			return err
		}
	}
	if e.expand == nil {
		return nil
	}
	for g, rows := range e.rows {
		for _, r := range rows {
			v := e.host[0][:r.masks.Len()]
			for i := range v {
				v[i] = mask(g, r.axis.Unit(i))
			}
			if err := e.dev.WriteF32(r.masks, v); err != nil {
				return err
			}
		}
	}
	return e.expand.Run(env, nil)
}

// slopes gives μ·D of every present unit of every group, then of blocks.
func (e *engine) slopes(env *kernels.Env, put func(g, u int, d float64)) error {
	for i, pairs := range e.norms {
		for _, p := range pairs {
			if err := e.readPair(p); err != nil {
				return err
			}
			h := &e.host
			for u := range p.gamma.W.Len() {
				d := float64(h[0][u])*float64(h[1][u]) + float64(h[2][u])*float64(h[3][u])
				if i < len(e.space.Groups) {
					put(i, u, d)
				} else {
					put(-1, i-len(e.space.Groups), d)
				}
			}
		}
	}
	if e.reduce == nil {
		return nil
	}
	if err := e.reduce.Run(env, nil); err != nil {
		return err
	}
	for g, rows := range e.rows {
		for _, r := range rows {
			v := e.host[0][:r.sum.Len()]
			if err := e.dev.ReadF32(r.sum, v); err != nil {
				return err
			}
			for i, d := range v {
				put(g, r.axis.Unit(i), float64(d))
			}
		}
	}
	return nil
}

func (e *engine) readPair(p normPair) (err error) {
	n := p.gamma.W.Len()
	for i, t := range []*kernels.Tensor{p.gamma.W, p.gamma.G, p.beta.W, p.beta.G} {
		err = errors.Join(err, e.dev.ReadF32(t, e.host[i][:n]))
	}
	return err
}

func (e *engine) close() {
	for _, x := range []kernels.Executable{e.expand, e.reduce} {
		if x != nil {
			x.Close()
		}
	}
	if e.memory != nil {
		e.memory.Close()
	}
}

// isMask reports whether a state of the network is one of the method's.
func isMask(p *graph.Param) bool { return p.State && strings.HasPrefix(p.Name, prefix) }
