package step

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// Kernel is the speed of one convolution in its three directions, on one
// thread by processor time.
type Kernel struct {
	Name    string    `json:"kernel"`
	Shape   string    `json:"shape"` // input, kernel, output
	GFLOP   float64   `json:"gflop"` // of one direction
	Forward Direction `json:"forward"`
	Input   Direction `json:"backward_data"`
	Weight  Direction `json:"backward_weights"`
	Peak    float64   `json:"fma_peak"`
}

// Direction is one pass over a convolution.
type Direction struct {
	MS     float64 `json:"ms"` // median
	GFLOPS float64 `json:"gflops"`
	Share  float64 `json:"percent_of_peak"`
}

func (k Kernel) String() string {
	d := func(d Direction) string { return fmt.Sprintf("%6.1f %3.0f%%", d.GFLOPS, d.Share) }
	return fmt.Sprintf("%-24s %-40s fwd %s  bwd-d %s  bwd-w %s  of %.0f", k.Name, k.Shape, d(k.Forward), d(k.Input), d(k.Weight), k.Peak)
}

// layer is a square convolution of n images of size² pixels.
type layer struct {
	name                string
	n, size, in, out, k int
	stride, groups      int
}

var layers = []layer{
	{"3x3", 128, 32, 16, 16, 3, 1, 1},
	{"3x3", 128, 16, 32, 32, 3, 1, 1},
	{"3x3", 128, 8, 64, 64, 3, 1, 1},
	{"3x3", 64, 8, 256, 256, 3, 1, 1},
	{"3x3", 128, 4, 512, 512, 3, 1, 1},
	{"3x3", 128, 2, 512, 512, 3, 1, 1},
	{"3x3 image", 128, 32, 3, 64, 3, 1, 1},
	{"3x3 stride 2", 128, 32, 16, 32, 3, 2, 1},
	{"3x3 stride 2", 128, 16, 32, 64, 3, 2, 1},
	{"1x1", 64, 16, 64, 64, 1, 1, 1},
	{"1x1", 32, 14, 256, 1024, 1, 1, 1},
	{"1x1", 32, 14, 1024, 256, 1, 1, 1},
	{"1x1 stride 2", 64, 16, 64, 128, 1, 2, 1},
	{"7x7 stride 2", 8, 224, 3, 64, 7, 2, 1},
	{"7x7", 32, 32, 16, 16, 7, 1, 1},
	{"grouped 4", 64, 16, 64, 64, 3, 1, 4},
	{"grouped 32", 16, 14, 256, 256, 3, 1, 32},
	{"depthwise", 64, 32, 64, 64, 3, 1, 64},
	{"depthwise", 64, 8, 256, 256, 3, 1, 256},
	{"depthwise stride 2", 64, 32, 64, 64, 3, 2, 64},
	{"odd channels", 128, 32, 4, 4, 3, 1, 1},
	{"odd channels", 128, 32, 6, 6, 3, 1, 1},
	{"odd channels", 128, 32, 10, 10, 3, 1, 1},
	{"odd channels", 128, 16, 20, 20, 3, 1, 1},
	{"odd channels", 128, 16, 34, 34, 3, 1, 1},
	{"odd channels", 128, 8, 58, 58, 3, 1, 1},
}

// Convolutions measures convolutions of all kinds, one after the other.
func Convolutions(each func(Kernel)) error {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer dev.Close()
	for _, l := range layers {
		k, err := l.measure(dev)
		if err != nil {
			return fmt.Errorf("convolution %s %s: %w", k.Name, k.Shape, err)
		}
		each(k)
	}
	return nil
}

func (l layer) measure(dev kernels.Device) (k Kernel, err error) {
	c := kernels.Conv{Stride: l.stride, Pad: l.k / 2, Groups: l.groups}
	o := c.Out(l.size, l.k)
	k = Kernel{Name: l.name, Shape: fmt.Sprintf("%dx%dx%dx%d %dx%d %dx%dx%d", l.n, l.size, l.size, l.in, l.k, l.k, o, o, l.out)}
	x := kernels.New("x", kernels.F32, l.n, l.size, l.size, l.in)
	w := kernels.New("w", kernels.F32, l.k, l.k, l.in/l.groups, l.out)
	y := kernels.New("y", kernels.F32, l.n, o, o, l.out)
	dx, dw := kernels.New("dx", kernels.F32, x.Shape...), kernels.New("dw", kernels.F32, w.Shape...)
	for _, t := range []*kernels.Tensor{x, w, y, dx, dw} {
		if t.Buf, err = dev.Alloc(t.Bytes()); err != nil {
			return k, err
		}
		defer t.Buf.Close()
		if err = fill(dev, t); err != nil {
			return k, err
		}
	}
	k.Peak = cpu.FMAPeak(1)
	for _, p := range []struct {
		op kernels.Op
		to *Direction
	}{
		{&kernels.Conv2D{X: x, W: w, Y: y, Conv: c}, &k.Forward},
		{&kernels.ConvInput{DY: y, W: w, DX: dx, Conv: c}, &k.Input},
		{&kernels.ConvWeight{X: x, DY: y, DW: dw, Conv: c}, &k.Weight},
	} {
		k.GFLOP = float64(kernels.Flops(p.op)) / 1e9
		if p.to.MS, err = timeOp(dev, p.op); err != nil {
			return k, err
		}
		p.to.GFLOPS = k.GFLOP / p.to.MS * 1e3
	}
	k.Peak = max(k.Peak, cpu.FMAPeak(1))
	for _, d := range []*Direction{&k.Forward, &k.Input, &k.Weight} {
		if k.Peak > 0 {
			d.Share = 100 * d.GFLOPS / k.Peak
		}
	}
	return k, nil
}

// fill writes normal numbers.
func fill(dev kernels.Device, t *kernels.Tensor) error {
	values := make([]float32, t.Len())
	philox.NewKey(seed, t.Name).Normal(philox.Counter{}, 1, values)
	return dev.WriteF32(t, values)
}

// timeOp is the median of repeated runs over some 200 ms, at least 5.
func timeOp(dev kernels.Device, op kernels.Op) (float64, error) {
	exec, err := dev.Compile([]kernels.Op{op})
	if err != nil {
		return 0, err
	}
	defer exec.Close()
	var took []float64
	for from := wallClock(); len(took) < 6 || wallClock()-from < 200*time.Millisecond; {
		start := processorClock()
		if err := exec.Run(&kernels.Env{}, nil); err != nil {
			return 0, err
		}
		took = append(took, ms(processorClock()-start))
	}
	return spread(took[1:]).Median, nil // the first run touches fresh memory
}
