package data

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Augment is what may happen to a training image before it is normalised; the
// zero value leaves images as they are. Every draw is a function of (seed,
// epoch, sample), so ranks, threads and resumed runs agree.
//
// The steps are those of the residual networks' CIFAR recipe (He et al., "Deep
// residual learning for image recognition", section 4.2) in this order: pad
// and crop, flip, normalise, cut out.
type Augment struct {
	// Pad adds this many pixels on each side and crops the old size at a
	// random place. The border has the value 0 after normalisation (the mean).
	Pad int `json:"pad,omitempty"`
	// Flip mirrors left and right in half of the draws.
	Flip bool `json:"flip,omitempty"`
	// Cutout is the side of a square that is set to 0 after normalisation.
	// Its centre is uniform over the image and the part outside is lost
	// (DeVries and Taylor, "Improved regularization of convolutional neural
	// networks with cutout", 2017).
	Cutout int `json:"cutout,omitempty"`
}

// Validate says whether a makes sense for images of h x w pixels.
func (a Augment) Validate(h, w int) error {
	if a.Pad < 0 || a.Pad >= h || a.Pad >= w {
		return fmt.Errorf("augment: pad %d, want 0 to %d for images of %dx%d", a.Pad, min(h, w)-1, h, w)
	}
	if a.Cutout < 0 || a.Cutout > 2*max(h, w) {
		return fmt.Errorf("augment: cutout %d, want 0 to %d for images of %dx%d", a.Cutout, 2*max(h, w), h, w)
	}
	return nil
}

// view is what one draw decided: output pixel (y, x) shows the source pixel
// (y+dy, x'+dx) with x' = x, or w-1-x when flipped; outside the source, and in
// rows cy0..cy1 of columns cx0..cx1, it is 0.
type view struct {
	dy, dx             int
	flip               bool
	cy0, cy1, cx0, cx1 int
}

// draw decides the view of a sample in an epoch. Counter: the sample in words
// 0 and 1, the epoch in word 2, the block of the draw in word 3.
func (a Augment) draw(key philox.Key, epoch, index, h, w int) view {
	var v view
	if a == (Augment{}) {
		return v
	}
	at := philox.Counter{uint32(index), uint32(uint64(index) >> 32), uint32(epoch), 0}
	r := key.At(at)
	v.dy = philox.Below(r[0], 2*a.Pad+1) - a.Pad
	v.dx = philox.Below(r[1], 2*a.Pad+1) - a.Pad
	v.flip = a.Flip && r[2]>>31 == 1
	if a.Cutout > 0 {
		at[3] = 1
		r = key.At(at)
		y := philox.Below(r[0], h) - a.Cutout/2
		x := philox.Below(r[1], w) - a.Cutout/2
		v.cy0, v.cy1 = max(y, 0), min(y+a.Cutout, h)
		v.cx0, v.cx1 = max(x, 0), min(x+a.Cutout, w)
	}
	return v
}

// painter writes images as normalised floats. Normalisation is a table of 256
// values per channel.
type painter struct {
	im    *Images
	table [][256]float32 // [C]
	aug   Augment
	key   philox.Key
}

func newPainter(im *Images, seed uint64, a Augment) *painter {
	p := &painter{im: im, aug: a, key: philox.NewKey(seed, "augment"), table: make([][256]float32, im.C)}
	for c := range p.table {
		for v := range p.table[c] {
			// No product is followed by a sum, so no compiler fuses
			// the two and the bits are the same everywhere.
			x := float64(v)/float64(im.Max) - float64(im.Mean[c])
			p.table[c][v] = float32(x / float64(im.Std[c]))
		}
	}
	return p
}

// paint writes sample index as it is seen in an epoch into dst [H,W,C].
func (p *painter) paint(dst []float32, epoch, index int) {
	p.show(dst, index, p.aug.draw(p.key, epoch, index, p.im.H, p.im.W))
}

func (p *painter) show(dst []float32, index int, v view) {
	h, w, c := p.im.H, p.im.W, p.im.C
	src := p.im.Pix[index*h*w*c : (index+1)*h*w*c]
	// Columns of the crop that lie inside the source, before the flip.
	x0, x1 := max(0, -v.dx), min(w, w-v.dx)
	for y := range h {
		row := dst[y*w*c : (y+1)*w*c]
		sy := y + v.dy
		if sy < 0 || sy >= h {
			clear(row)
			continue
		}
		line := src[(sy*w+x0+v.dx)*c : (sy*w+x1+v.dx)*c]
		if v.flip {
			clear(row[:(w-x1)*c])
			p.mirror(row[(w-x1)*c:(w-x0)*c], line)
			clear(row[(w-x0)*c:])
		} else {
			clear(row[:x0*c])
			p.copy(row[x0*c:x1*c], line)
			clear(row[x1*c:])
		}
	}
	for y := v.cy0; y < v.cy1; y++ {
		clear(dst[(y*w+v.cx0)*c : (y*w+v.cx1)*c])
	}
}

// copy normalises pixels in their order.
func (p *painter) copy(dst []float32, src []byte) {
	switch len(p.table) {
	case 1:
		t := &p.table[0]
		dst = dst[:len(src)]
		for i, v := range src {
			dst[i] = t[v]
		}
	case 3:
		r, g, b := &p.table[0], &p.table[1], &p.table[2]
		for len(src) >= 3 && len(dst) >= 3 {
			dst[0], dst[1], dst[2] = r[src[0]], g[src[1]], b[src[2]]
			src, dst = src[3:], dst[3:]
		}
	default:
		c := len(p.table)
		for i, v := range src {
			dst[i] = p.table[i%c][v]
		}
	}
}

// mirror normalises pixels from last to first.
func (p *painter) mirror(dst []float32, src []byte) {
	switch len(p.table) {
	case 1:
		t := &p.table[0]
		for i, v := range src {
			dst[len(dst)-1-i] = t[v]
		}
	case 3:
		r, g, b := &p.table[0], &p.table[1], &p.table[2]
		for len(src) >= 3 && len(dst) >= 3 {
			s := src[len(src)-3:]
			dst[0], dst[1], dst[2] = r[s[0]], g[s[1]], b[s[2]]
			src, dst = src[:len(src)-3], dst[3:]
		}
	default:
		c := len(p.table)
		for i := 0; i < len(src); i += c {
			for k := range c {
				dst[len(dst)-c-i+k] = p.table[k][src[i+k]]
			}
		}
	}
}
