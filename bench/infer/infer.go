// Package infer measures layers at inference: packed weights of 1 to 8 bits
// against the same layer in 8 bits and in float32, and all of them against what
// the machine can read and multiply.
//
// The layers are those of a packed network, or a list of usual shapes with
// random weights. All figures of a layer are made in one go, since machines
// change; each is the shortest of several runs, which neighbours disturb least.
//
//	results, err := infer.Run(infer.Options{Threads: 1, Network: n})
//
// Promises: a figure is of the whole layer as a network runs it, from float32
// inputs to float32 outputs; the limits are measured in the same run.
//
// Left to others: whole networks (espalier eval), training (bench/step).
package infer

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
)

// Options say what is measured.
type Options struct {
	// Network is the network whose layers are measured; nil: usual shapes.
	Network *packed.Network
	Threads int
	// Least is how long each figure is measured; 0 means 50 ms.
	Least time.Duration
	// Each, when set, receives results as they are made.
	Each func(Result)
}

// Result is a measured layer, one JSON line. Times are of one run, in
// microseconds.
type Result struct {
	Layer   string  `json:"layer"`
	Shape   string  `json:"shape"`
	Kernel  string  `json:"kernel"` // "W2A8"
	Bits    float64 `json:"bits"`   // mean of the weights
	Threads int     `json:"threads"`
	MACs    int     `json:"macs"`
	Bytes   int     `json:"bytes"` // of weights that a run reads

	Packed float64 `json:"packed_us"`
	Int8   float64 `json:"int8_us"`
	Float  float64 `json:"fp32_us"`
	// Limit is the time that reading the weights or multiplying would take
	// alone: memory of the weights' size is read at ReadGBs, and the kernel
	// multiplies at PeakGMACs on weights that stay in the first cache.
	Limit     float64 `json:"limit_us"`
	ReadGBs   float64 `json:"read_gb_per_s"`
	PeakGMACs float64 `json:"peak_gmac_per_s"`
}

// OverInt8 and OverFloat are how many times faster the packed layer is.
func (r *Result) OverInt8() float64 { return r.Int8 / r.Packed }

// OverFloat is like OverInt8, over float32.
func (r *Result) OverFloat() float64 { return r.Float / r.Packed }

// String is the result as a line for people.
func (r Result) String() string {
	return fmt.Sprintf("%-28s %-22s %-6s %5.2f bits %dt  packed %8.1f µs  int8 %8.1f  fp32 %8.1f  ×%-5.2f over int8 ×%-6.2f over fp32  limit %7.1f µs (%3.0f %%; %.1f GB/s, %.0f GMAC/s)",
		r.Layer, r.Shape, r.Kernel, r.Bits, r.Threads, r.Packed, r.Int8, r.Float, r.OverInt8(), r.OverFloat(), r.Limit, 100*r.Limit/r.Packed, r.ReadGBs, r.PeakGMACs)
}

// subject is a layer where a network applies it to one sample.
type subject struct {
	layer *packed.Layer
	at    packed.Geometry
}

// Run measures at batch 1.
func Run(o Options) ([]Result, error) {
	if o.Threads < 1 {
		return nil, fmt.Errorf("bench infer: %d threads: want 1 or more", o.Threads)
	}
	if o.Least == 0 {
		o.Least = 50 * time.Millisecond
	}
	dev, err := cpu.New(cpu.Options{Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	var subjects []subject
	if o.Network != nil {
		subjects, err = layersOf(o.Network)
	} else {
		subjects, err = usual()
	}
	if err != nil {
		return nil, err
	}
	var all []Result
	for _, s := range subjects {
		r, err := s.measure(dev, &o)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", s.layer.Name, err)
		}
		all = append(all, *r)
		if o.Each != nil {
			o.Each(*r)
		}
	}
	return all, nil
}

// layersOf finds where a network applies its layers to one sample.
func layersOf(n *packed.Network) (all []subject, err error) {
	g, err := n.Trace(1)
	if err != nil {
		return nil, err
	}
	for _, op := range g.Forward() {
		switch o := op.(type) {
		case *kernels.MatMul:
			if l := n.Layer(o.B.Name); l != nil {
				all = append(all, subject{l, packed.Geometry{Rows: o.A.Rows()}})
			}
		case *kernels.Conv2D:
			if l := n.Layer(o.W.Name); l != nil {
				all = append(all, subject{l, packed.Geometry{Rows: 1, Height: o.X.Dim(1), Width: o.X.Dim(2),
					OutHeight: o.Y.Dim(1), OutWidth: o.Y.Dim(2), Stride: o.Stride, Pad: o.Pad}})
			}
		}
	}
	return all, nil
}

// usual are large linear maps, and convolutions of VGG on images of 32 pixels.
func usual() (all []subject, err error) {
	for _, w := range []struct{ bits, act int }{{8, 8}, {4, 8}, {2, 8}, {1, 8}, {4, 4}, {2, 4}, {1, 4}} {
		for _, s := range []struct{ side, channels, outs, pixels int }{
			{0, 1024, 1024, 0}, {0, 4096, 4096, 0}, {0, 8192, 8192, 0}, {3, 512, 512, 2}, {3, 512, 512, 4}, {3, 256, 256, 8}, {3, 64, 64, 32},
		} {
			name := fmt.Sprintf("linear %d", s.channels)
			g := packed.Geometry{Rows: 1}
			if s.side > 0 {
				name = fmt.Sprintf("conv %d", s.channels)
				g = packed.Geometry{Rows: 1, Height: s.pixels, Width: s.pixels, OutHeight: s.pixels, OutWidth: s.pixels, Stride: 1, Pad: 1}
			}
			l, err := packed.Random(name, s.side, s.channels, s.outs, w.bits, w.act)
			if err != nil {
				return nil, err
			}
			all = append(all, subject{l, g})
		}
	}
	return all, nil
}

// shape says what the layer is applied to.
func (s *subject) shape() string {
	if s.layer.Side == 0 {
		return fmt.Sprintf("%d×%d→%d", s.at.Rows, s.layer.Channels, s.layer.Outs)
	}
	return fmt.Sprintf("%d×%d %d→%d on %d×%d", s.layer.Side, s.layer.Side, s.layer.Channels, s.layer.Outs, s.at.Height, s.at.Width)
}

func (s *subject) pixels() int {
	if s.layer.Side == 0 {
		return s.at.Rows
	}
	return s.at.OutHeight * s.at.OutWidth
}
