package infer

import (
	"testing"
	"time"

	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
)

func TestFiguresAreThere(t *testing.T) {
	for _, s := range []subject{
		{at: packed.Geometry{Rows: 1}},
		{at: packed.Geometry{Rows: 1, Height: 5, Width: 6, OutHeight: 3, OutWidth: 3, Stride: 2, Pad: 1}},
	} {
		side := 0
		if s.at.Height > 0 {
			side = 3
		}
		for _, w := range []struct {
			bits, act int
			name      string
		}{{1, 4, "W1A4"}, {8, 8, "W8A8"}} {
			var err error
			if s.layer, err = packed.Random("layer", side, 32, 20, w.bits, w.act); err != nil {
				t.Fatal(err)
			}
			dev, err := cpu.New(cpu.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			r, err := s.measure(dev, &Options{Threads: 1, Least: time.Microsecond})
			if err != nil {
				t.Fatal(err)
			}
			want := 32 * 20
			if side > 0 {
				want *= 9 * 9
			}
			if r.Kernel != w.name || r.MACs != want || r.Bytes == 0 || !(r.Packed > 0 && r.Int8 > 0 && r.Float > 0 && r.Limit > 0) {
				t.Errorf("%+v", r)
			}
		}
	}
}

func TestNoThreadsAreRefused(t *testing.T) {
	if _, err := Run(Options{}); err == nil {
		t.Error("no error")
	}
}
