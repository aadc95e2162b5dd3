package packed

import (
	"math"
	"runtime"
	"sync"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
)

// Geometry is where a layer is applied.
type Geometry struct {
	Rows                int // of a linear map; images of a convolution
	Height, Width       int // of an image
	OutHeight, OutWidth int
	Stride, Pad         int
}

// Plan is a layer prepared for one geometry, with its memory. It runs in one
// goroutine at a time.
type Plan struct {
	l       *Layer
	g       Geometry
	act     kernels.Act
	threads int

	steps  [][]float64
	codes  []int8   // of a row or an image
	image  [][]int8 // of a group: an image with its channels side by side
	tokens []*lowbit.Tokens
	pieces []piece
	spaces []lowbit.Space
	delta  float32
}

// piece is a part of a product: rows of weights for some tokens.
type piece struct {
	first, end, lo, hi int
	dots               [][]int32 // of the groups
	sums               []float64 // of a token
}

// panel is the number of tokens whose codes are laid out at once.
const panel = 64

// small is the number of products below which threads do not pay.
const small = 1 << 18

// NewPlan prepares a layer for up to `threads` goroutines.
func NewPlan(l *Layer, g Geometry, act kernels.Act, threads int) *Plan {
	p := &Plan{l: l, g: g, act: act, threads: min(threads, runtime.GOMAXPROCS(0))}
	n, width := g.Rows, l.Channels
	if l.Side > 0 {
		n, width = g.OutHeight*g.OutWidth, l.Channels*g.Height*g.Width
	}
	p.codes = make([]int8, width)
	n = min(n, panel)
	for i := range l.Groups {
		q := &l.Groups[i]
		p.steps = append(p.steps, l.steps(q))
		p.tokens = append(p.tokens, lowbit.NewTokens(n, q.Matrix.Stride()))
		p.image = append(p.image, make([]int8, width/l.Channels*len(q.Channels)))
	}
	if n*l.Weights() < small {
		p.threads = 1
	}
	p.spaces = make([]lowbit.Space, p.threads)
	p.cut(n)
	return p
}

// cut divides a panel of n tokens among the threads: by tokens where there are
// many, else by rows.
func (p *Plan) cut(n int) {
	unit := 4
	for i := range p.l.Groups {
		unit = max(unit, p.l.Groups[i].Matrix.Unit())
	}
	parts := p.threads
	for t := range parts {
		c := piece{end: n, hi: p.l.Outs}
		if n >= 16*parts {
			c.first, c.end = t*n/parts, (t+1)*n/parts
		} else {
			units := (p.l.Outs + unit - 1) / unit
			c.lo, c.hi = min(t*units/parts*unit, p.l.Outs), min((t+1)*units/parts*unit, p.l.Outs)
		}
		if c.lo == c.hi || c.first == c.end {
			continue
		}
		for range p.l.Groups {
			c.dots = append(c.dots, make([]int32, (c.end-c.first)*p.l.Outs))
		}
		c.sums = make([]float64, c.hi-c.lo)
		p.pieces = append(p.pieces, c)
	}
}

// Run applies the layer to x and writes act(layer(x) + residual) to y; residual
// may be nil.
func (p *Plan) Run(y, x, residual []float32, relu bool) {
	act := p.act
	if relu {
		act = kernels.ReLU
	}
	if p.l.Side == 0 {
		p.linear(y, x, residual, act)
		return
	}
	in, out := len(p.codes), p.g.OutHeight*p.g.OutWidth*p.l.Outs
	for i := range p.g.Rows {
		var r []float32
		if residual != nil {
			r = residual[i*out:][:out]
		}
		p.convolve(y[i*out:][:out], x[i*in:][:in], r, act)
	}
}

func (p *Plan) linear(y, x, residual []float32, act kernels.Act) {
	k := p.l.Channels
	for first := 0; first < p.g.Rows; first += panel {
		n := min(panel, p.g.Rows-first)
		for i := range n {
			delta := lowbit.Quantize(p.codes, x[(first+i)*k:][:k], p.l.Activations)
			for j := range p.l.Groups {
				t := p.tokens[j]
				gather(t.Row(i), p.codes, p.l.Groups[j].Channels)
				t.Delta[i] = delta
			}
		}
		p.multiply(y[first*p.l.Outs:], rest(residual, first*p.l.Outs), n, act)
	}
}

// rest is the operand from an element on, nil where there is none.
func rest(x []float32, from int) []float32 {
	if x == nil {
		return nil
	}
	return x[from:]
}

func gather(dst, src []int8, channels []int) {
	if len(channels) == len(src) {
		copy(dst, src)
		return
	}
	for i, c := range channels {
		dst[i] = src[c]
	}
}

// convolve treats one image: its codes are sorted by group, and for a panel of
// pixels after another the window is laid out as a row of tokens.
func (p *Plan) convolve(y, x, residual []float32, act kernels.Act) {
	l, g := p.l, &p.g
	p.delta = lowbit.Quantize(p.codes, x, l.Activations)
	for j := range l.Groups {
		ch := l.Groups[j].Channels
		for i := range g.Height * g.Width {
			gather(p.image[j][i*len(ch):][:len(ch)], p.codes[i*l.Channels:][:l.Channels], ch)
		}
	}
	pixels := g.OutHeight * g.OutWidth
	for first := 0; first < pixels; first += panel {
		n := min(panel, pixels-first)
		for j := range l.Groups {
			t, c := p.tokens[j], len(l.Groups[j].Channels)
			for i := range n {
				p.window(t.Row(i), p.image[j], c, (first+i)/g.OutWidth, (first+i)%g.OutWidth)
				t.Delta[i] = p.delta
			}
		}
		p.multiply(y[first*l.Outs:], rest(residual, first*l.Outs), n, act)
	}
}

// window lays out what the output pixel (oy, ox) sees of an image of c
// channels. What lies outside is 0.
func (p *Plan) window(dst, image []int8, c, oy, ox int) {
	g, side := &p.g, p.l.Side
	top, left := oy*g.Stride-g.Pad, ox*g.Stride-g.Pad
	from, to := max(0, -left), min(side, g.Width-left) // columns inside
	for ky := range side {
		row := dst[ky*side*c:][:side*c]
		if y := top + ky; y < 0 || y >= g.Height || from >= to {
			clear(row)
		} else {
			clear(row[:from*c])
			copy(row[from*c:to*c], image[(y*g.Width+left+from)*c:])
			clear(row[to*c:])
		}
	}
}

// multiply makes the outputs of n tokens.
func (p *Plan) multiply(y, residual []float32, n int, act kernels.Act) {
	for _, t := range p.tokens {
		t.Sum(0, n)
	}
	if len(p.pieces) == 1 {
		p.piece(&p.pieces[0], 0, y, residual, n, act)
		return
	}
	var wg sync.WaitGroup
	for i := 1; i < len(p.pieces); i++ {
		wg.Go(func() { p.piece(&p.pieces[i], i, y, residual, n, act) })
	}
	p.piece(&p.pieces[0], 0, y, residual, n, act)
	wg.Wait()
}

func (p *Plan) piece(c *piece, space int, y, residual []float32, n int, act kernels.Act) {
	end := min(c.end, n)
	if c.first >= end {
		return
	}
	l := p.l
	for j := range l.Groups {
		l.Groups[j].Matrix.Dots(c.dots[j], p.tokens[j], c.first, end, c.lo, c.hi, &p.spaces[space])
	}
	sums := c.sums[:c.hi-c.lo]
	for i := c.first; i < end; i++ {
		row := func(j int) []int32 { return c.dots[j][(i-c.first)*l.Outs:][c.lo:c.hi] }
		lowbit.Scale(sums, row(0), p.steps[0][c.lo:c.hi])
		for j := 1; j < len(l.Groups); j++ {
			lowbit.ScaleAdd(sums, row(j), p.steps[j][c.lo:c.hi])
		}
		out := y[i*l.Outs:][c.lo:c.hi]
		lowbit.Finish(out, sums, float64(p.tokens[0].Delta[i]), l.Bias[c.lo:c.hi], within(residual, i*l.Outs+c.lo, i*l.Outs+c.hi), act == kernels.ReLU)
		if act != kernels.NoAct && act != kernels.ReLU {
			for r, v := range out {
				out[r] = float32(activate(act, float64(v)))
			}
		}
	}
}

// within is a part of an operand, nil where there is none.
func within(x []float32, from, to int) []float32 {
	if x == nil {
		return nil
	}
	return x[from:to]
}

// activate is the value of a at x for what is no ReLU, see kernels.Act.
func activate(a kernels.Act, x float64) float64 {
	switch a {
	case kernels.GELU:
		return 0.5 * x * (1 + math.Tanh(0.7978845608028654*(x+0.044715*x*x*x)))
	case kernels.SiLU:
		return x / (1 + math.Exp(-x))
	case kernels.Tanh:
		return math.Tanh(x)
	case kernels.Sigmoid:
		return 1 / (1 + math.Exp(-x))
	}
	return x
}
