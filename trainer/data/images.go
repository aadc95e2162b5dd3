package data

import (
	"fmt"
	"math"
)

// Images is one split of labelled images in memory. Pix may be a read-only
// mapping of a cache file: writing to it faults.
type Images struct {
	Name    string    // data set and split, for messages: "cifar10/train"
	N       int       // images
	H, W, C int       // height, width, channels
	Classes int       // labels lie in [0, Classes)
	Max     int       // pixel value of full brightness: 255, or 16 for optdigits
	Pix     []byte    // [N,H,W,C]
	Label   []byte    // [N]
	Mean    []float32 // [C] of Pix/Max over the training split
	Std     []float32 // [C] of Pix/Max over the training split
	Names   []string  // [Classes], or nil
}

// Validate checks that lengths, labels and moments agree.
func (im *Images) Validate() error {
	switch {
	case im.N <= 0 || im.H <= 0 || im.W <= 0 || im.C <= 0:
		return fmt.Errorf("%s: %d images of %dx%dx%d", im.Name, im.N, im.H, im.W, im.C)
	case len(im.Pix) != im.N*im.H*im.W*im.C:
		return fmt.Errorf("%s: %d pixel values, want %d", im.Name, len(im.Pix), im.N*im.H*im.W*im.C)
	case len(im.Label) != im.N:
		return fmt.Errorf("%s: %d labels, want %d", im.Name, len(im.Label), im.N)
	case im.Max < 1 || im.Max > 255:
		return fmt.Errorf("%s: full brightness %d, want 1 to 255", im.Name, im.Max)
	case im.Classes < 1 || im.Classes > 256:
		return fmt.Errorf("%s: %d classes, want 1 to 256", im.Name, im.Classes)
	case len(im.Mean) != im.C || len(im.Std) != im.C:
		return fmt.Errorf("%s: %d means and %d deviations, want %d", im.Name, len(im.Mean), len(im.Std), im.C)
	case im.Names != nil && len(im.Names) != im.Classes:
		return fmt.Errorf("%s: %d class names, want %d", im.Name, len(im.Names), im.Classes)
	}
	for _, s := range im.Std {
		if !(s > 0) {
			return fmt.Errorf("%s: pixel deviation %v, want above 0", im.Name, s)
		}
	}
	return checkLabels(im.Name, im.Label, im.Classes)
}

func checkLabels(name string, label []byte, classes int) error {
	for i, l := range label {
		if int(l) >= classes {
			return fmt.Errorf("%s: label %d of image %d, want below %d", name, l, i, classes)
		}
	}
	return nil
}

// Moments are mean and deviation (over the population) of Pix/Max for each
// channel. Pixel values are counted first, so the sums are exact.
func (im *Images) Moments() (mean, std []float32) {
	mean, std = make([]float32, im.C), make([]float32, im.C)
	count := make([][256]int, im.C)
	for i := 0; i+im.C <= len(im.Pix); i += im.C {
		for c := range count {
			count[c][im.Pix[i+c]]++
		}
	}
	n, m := float64(im.N*im.H*im.W), float64(im.Max)
	for c := range count {
		var s, q int // of value and square, exact
		for v, k := range count[c] {
			s += v * k
			q += v * v * k
		}
		mu := float64(s) / n
		mean[c] = float32(mu / m)
		std[c] = float32(math.Sqrt(float64(q)/n-float64(mu*mu)) / m)
	}
	return mean, std
}

// ImageSet is the training and the test split of one data set.
type ImageSet struct {
	Train, Test *Images
}

// Training shuffles and augments im under a run's seed.
func (im *Images) Training(seed uint64, a Augment) (Source, error) {
	if err := im.Validate(); err != nil {
		return nil, err
	}
	if err := a.Validate(im.H, im.W); err != nil {
		return nil, fmt.Errorf("%s: %w", im.Name, err)
	}
	return &imageTraining{imageRows{newPainter(im, seed, a)}, NewOrder(seed, im.N)}, nil
}

// Evaluation goes through im once, in its order and unaltered.
func (im *Images) Evaluation() (Source, error) {
	if err := im.Validate(); err != nil {
		return nil, err
	}
	return &imageEvaluation{imageRows{newPainter(im, 0, Augment{})}}, nil
}

// imageRows is what training and evaluation share.
type imageRows struct{ p *painter }

func (s imageRows) Samples() int { return s.p.im.N }

func (s imageRows) Row() Row {
	im := s.p.im
	return Row{Shape: []int{im.H, im.W, im.C}, Targets: 1, Classes: im.Classes}
}

type imageTraining struct {
	imageRows
	order Order
}

func (s *imageTraining) Fill(b *Batch, r Request) error {
	n, epoch, place := uint64(s.order.n), r.Cursor/s.order.n, r.Cursor%s.order.n
	b.Begin(r, int(epoch))
	im := s.p.im
	size := im.H * im.W * im.C
	turn := s.order.shuffle(epoch)
	for i := range r.N {
		if place == n {
			epoch, place = epoch+1, 0
			turn = s.order.shuffle(epoch)
		}
		index := int(turn.at(place))
		s.p.paint(b.X[i*size:(i+1)*size], int(epoch), index)
		b.Y[i] = int32(im.Label[index])
		place++
	}
	b.Valid = r.N
	return nil
}

type imageEvaluation struct{ imageRows }

func (s *imageEvaluation) Fill(b *Batch, r Request) error {
	b.Begin(r, 0)
	im := s.p.im
	size := im.H * im.W * im.C
	first := int(min(r.Cursor, uint64(im.N)))
	n := min(r.N, im.N-first)
	for i := range n {
		s.p.show(b.X[i*size:(i+1)*size], first+i, view{})
		b.Y[i] = int32(im.Label[first+i])
	}
	clear(b.X[n*size:])
	fill(b.Y[n:], Ignore)
	b.Valid = n
	return nil
}
