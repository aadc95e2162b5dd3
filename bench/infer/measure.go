package infer

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
)

// shortest is the time of the fastest of many runs of f, in microseconds.
func shortest(least time.Duration, f func()) float64 {
	f()
	best := time.Duration(1 << 62)
	for begun := time.Now(); time.Since(begun) < least; {
		n, since := 0, time.Now()
		for n == 0 || time.Since(since) < 100*time.Microsecond {
			f()
			n++
		}
		best = min(best, time.Since(since)/time.Duration(n))
	}
	return float64(best.Nanoseconds()) / 1e3
}

func (s *subject) measure(dev *cpu.Device, o *Options) (*Result, error) {
	l := s.layer
	r := &Result{Layer: l.Name, Shape: s.shape(), Kernel: kernelOf(l), Bits: l.Bits(), Threads: o.Threads, MACs: s.pixels() * l.Weights()}
	for _, g := range l.Groups {
		r.Bytes += g.Matrix.Bytes()
	}
	wide, err := l.Uniform(8, 8)
	if err != nil {
		return nil, err
	}
	r.Packed, r.Int8 = s.run(l, o), s.run(wide, o)
	if r.Float, err = s.float(dev, o); err != nil {
		return nil, err
	}
	r.ReadGBs = readRate(r.Bytes, o)
	if r.PeakGMACs, err = peak(l, o); err != nil {
		return nil, err
	}
	threads := float64(o.Threads)
	r.Limit = max(float64(r.Bytes)/r.ReadGBs/1e3, float64(r.MACs)/(r.PeakGMACs*threads)/1e3)
	return r, nil
}

func kernelOf(l *packed.Layer) string {
	name := "W"
	for i, g := range l.Groups {
		if i > 0 {
			name += "/"
		}
		name += fmt.Sprint(g.Matrix.Bits)
	}
	return fmt.Sprintf("%sA%d", name, l.Activations)
}

// input is a sample of numbers between -1 and 1.
func (s *subject) input() []float32 {
	n := s.at.Rows * s.layer.Channels
	if s.layer.Side > 0 {
		n *= s.at.Height * s.at.Width
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i*7919%2001)/1000 - 1
	}
	return x
}

// run measures the integer path.
func (s *subject) run(l *packed.Layer, o *Options) float64 {
	p := packed.NewPlan(l, s.at, kernels.NoAct, o.Threads)
	x, y := s.input(), make([]float32, s.pixels()*l.Outs)
	return shortest(o.Least, func() { p.Run(y, x, nil, false) })
}

// float measures the float32 path of the device.
func (s *subject) float(dev *cpu.Device, o *Options) (float64, error) {
	l, g := s.layer, s.at
	var op kernels.Op
	w := kernels.New("w", kernels.F32, l.Channels, l.Outs)
	x, y := kernels.New("x", kernels.F32, g.Rows, l.Channels), kernels.New("y", kernels.F32, g.Rows, l.Outs)
	if l.Side == 0 {
		op = &kernels.MatMul{A: x, B: w, C: y}
	} else {
		w = kernels.New("w", kernels.F32, l.Side, l.Side, l.Channels, l.Outs)
		x, y = kernels.New("x", kernels.F32, g.Rows, g.Height, g.Width, l.Channels), kernels.New("y", kernels.F32, g.Rows, g.OutHeight, g.OutWidth, l.Outs)
		op = &kernels.Conv2D{X: x, W: w, Y: y, Conv: kernels.Conv{Stride: g.Stride, Pad: g.Pad, Groups: 1}}
	}
	for _, t := range []*kernels.Tensor{x, w, y} {
		buf, err := dev.Alloc(t.Bytes())
		if err != nil {
			return 0, err
		}
		defer buf.Close()
		t.Buf = buf
	}
	if err := dev.WriteF32(x, s.input()); err != nil {
		return 0, err
	}
	if err := dev.WriteF32(w, l.Weight()); err != nil {
		return 0, err
	}
	e, err := dev.Compile([]kernels.Op{op})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	env := &kernels.Env{}
	us := shortest(o.Least, func() { err = e.Run(env, nil) })
	return us, err
}

// readRate is how fast memory of the given size is read over and over by all
// threads, in GB/s.
func readRate(bytes int, o *Options) float64 {
	t := lowbit.NewTokens(o.Threads, (bytes/o.Threads+4095)&^4095)
	us := shortest(o.Least, func() {
		done := make(chan struct{}, o.Threads)
		for i := 1; i < o.Threads; i++ {
			go func() { t.Sum(i, i+1); done <- struct{}{} }()
		}
		t.Sum(0, 1)
		for range o.Threads - 1 {
			<-done
		}
	})
	return float64(len(t.Codes)) / us / 1e3
}

// peak is how fast one thread multiplies with a small matrix of the layer's
// largest group, in GMAC/s.
func peak(l *packed.Layer, o *Options) (float64, error) {
	bits, most := 0, 0
	for _, g := range l.Groups {
		if len(g.Channels) > most {
			bits, most = g.Matrix.Bits, len(g.Channels)
		}
	}
	const rows, columns, tokens = 256, 2048, 2
	m, err := lowbit.NewMatrix(bits, rows, columns, l.Activations, make([]byte, rows*columns))
	if err != nil {
		return 0, err
	}
	t := lowbit.NewTokens(tokens, m.Stride())
	t.Sum(0, tokens)
	dst := make([]int32, rows*tokens)
	var space lowbit.Space
	us := shortest(o.Least, func() { m.Dots(dst, t, 0, tokens, 0, rows, &space) })
	return rows * columns * tokens / us / 1e3, nil
}
