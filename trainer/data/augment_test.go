package data

import (
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// testImages makes n images whose pixels and labels are a hash of their place.
func testImages(n, h, w, c int) *Images {
	im := &Images{Name: "test/train", N: n, H: h, W: w, C: c, Classes: 10, Max: 255,
		Pix: make([]byte, n*h*w*c), Label: make([]byte, n)}
	k := philox.NewKey(5, "test images")
	for i := range im.Pix {
		im.Pix[i] = byte(k.Index(uint64(i))[0])
	}
	for i := range im.Label {
		im.Label[i] = byte(i % 10)
	}
	for i := range c {
		im.Mean = append(im.Mean, 0.4+0.05*float32(i))
		im.Std = append(im.Std, 0.25+0.01*float32(i))
	}
	return im
}

// plainView is the oracle of painter.show: one pixel at a time, in the order of
// the definition: pad, crop, flip, normalise, cut out.
func plainView(im *Images, index int, v view) []float32 {
	out := make([]float32, im.H*im.W*im.C)
	for y := range im.H {
		for x := range im.W {
			for c := range im.C {
				cx := x
				if v.flip {
					cx = im.W - 1 - x
				}
				sy, sx := y+v.dy, cx+v.dx
				inside := sy >= 0 && sy < im.H && sx >= 0 && sx < im.W
				cut := y >= v.cy0 && y < v.cy1 && x >= v.cx0 && x < v.cx1
				if !inside || cut {
					continue
				}
				p := im.Pix[((index*im.H+sy)*im.W+sx)*im.C+c]
				n := float64(p)/float64(im.Max) - float64(im.Mean[c])
				out[(y*im.W+x)*im.C+c] = float32(n / float64(im.Std[c]))
			}
		}
	}
	return out
}

func TestPaintEqualsPixelLoop(t *testing.T) {
	augments := []Augment{{}, {Pad: 2}, {Flip: true}, {Cutout: 3}, {Pad: 4, Flip: true}, {Pad: 3, Flip: true, Cutout: 4}}
	for _, size := range [][3]int{{8, 8, 1}, {5, 7, 3}, {7, 5, 2}, {6, 6, 4}, {32, 32, 3}} {
		im := testImages(3, size[0], size[1], size[2])
		for _, a := range augments {
			p := newPainter(im, 9, a)
			got := make([]float32, im.H*im.W*im.C)
			for epoch := range 20 {
				for index := range im.N {
					for i := range got {
						got[i] = float32(math.NaN()) // every value is to be written
					}
					p.paint(got, epoch, index)
					v := a.draw(p.key, epoch, index, im.H, im.W)
					if want := plainView(im, index, v); !slices.Equal(got, want) {
						t.Fatalf("size %v, %+v, epoch %d, image %d, view %+v: wrong pixels", size, a, epoch, index, v)
					}
				}
			}
		}
	}
}

func TestDrawsCoverTheirRange(t *testing.T) {
	const h, w, draws = 32, 32, 20000
	a := Augment{Pad: 4, Flip: true, Cutout: 8}
	k := philox.NewKey(1, "augment")
	dy, dx, flips := map[int]int{}, map[int]int{}, 0
	cut := make([]int, h)
	for i := range draws {
		v := a.draw(k, i/1000, i%1000, h, w)
		dy[v.dy]++
		dx[v.dx]++
		if v.flip {
			flips++
		}
		if v.cy0 < 0 || v.cy1 > h || v.cx0 < 0 || v.cx1 > w || v.cy1-v.cy0 > 8 || v.cy1-v.cy0 < 4 {
			t.Fatalf("cutout %+v", v)
		}
		for y := v.cy0; y < v.cy1; y++ {
			cut[y]++
		}
	}
	for _, m := range []map[int]int{dy, dx} {
		for d := -4; d <= 4; d++ {
			if n := m[d]; math.Abs(float64(n)-draws/9.0) > 5*math.Sqrt(draws/9.0) {
				t.Errorf("offset %d: %d of %d draws", d, n, draws)
			}
		}
		if len(m) != 9 {
			t.Errorf("%d offsets, want 9", len(m))
		}
	}
	if math.Abs(float64(flips)-draws/2) > 5*math.Sqrt(draws/4.0) {
		t.Errorf("%d of %d draws flip", flips, draws)
	}
	if c := float64(cut[h/2]); math.Abs(c-draws/4.0) > 5*math.Sqrt(draws/4.0) { // 8 of 32 centres reach a row
		t.Errorf("middle row cut out in %v of %d draws", c, draws)
	}
}

func TestDrawIsKeyedBySeedEpochAndSample(t *testing.T) {
	a := Augment{Pad: 4, Flip: true, Cutout: 16}
	at := func(seed uint64, epoch, index int) view {
		return a.draw(philox.NewKey(seed, "augment"), epoch, index, 32, 32)
	}
	if at(1, 2, 3) != at(1, 2, 3) {
		t.Error("the same draw twice gives two views")
	}
	same := 0
	for i := range 100 {
		base := at(1, 2, i)
		for _, v := range []view{at(2, 2, i), at(1, 3, i), at(1, 2, i+1000), at(1, 2, i+1<<32)} {
			if v == base {
				same++
			}
		}
	}
	if same > 2 {
		t.Errorf("%d of 400 other draws give the same view", same)
	}
}

func TestAugmentValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		a    Augment
		bad  bool
	}{
		{"nothing", Augment{}, false},
		{"usual", Augment{Pad: 4, Flip: true, Cutout: 16}, false},
		{"negative pad", Augment{Pad: -1}, true},
		{"pad as large as the image", Augment{Pad: 8}, true},
		{"negative cutout", Augment{Cutout: -2}, true},
		{"cutout of more than everything", Augment{Cutout: 17}, true},
	} {
		if err := c.a.Validate(8, 8); (err != nil) != c.bad {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func BenchmarkPaint(b *testing.B) {
	for _, c := range []struct {
		name    string
		h, w, c int
		a       Augment
	}{
		{"28x28x1/plain", 28, 28, 1, Augment{}},
		{"28x28x1/crop+flip+cutout", 28, 28, 1, Augment{Pad: 4, Flip: true, Cutout: 8}},
		{"32x32x3/plain", 32, 32, 3, Augment{}},
		{"32x32x3/crop+flip", 32, 32, 3, Augment{Pad: 4, Flip: true}},
		{"32x32x3/crop+flip+cutout", 32, 32, 3, Augment{Pad: 4, Flip: true, Cutout: 16}},
	} {
		b.Run(c.name, func(b *testing.B) {
			im := testImages(512, c.h, c.w, c.c)
			src, err := im.Training(1, c.a)
			if err != nil {
				b.Fatal(err)
			}
			batch := NewBatch(src.Row(), 128)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 128 {
				src.Fill(batch, Request{Cursor: uint64(i), N: 128})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64((b.N+127)/128*128), "ns/image")
		})
	}
}
