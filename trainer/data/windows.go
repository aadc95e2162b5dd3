package data

import "github.com/espalier-ml/espalier/kernels/philox"

// windowRows is what training and evaluation on text share.
type windowRows struct {
	ids     []int32
	length  int // T
	classes int
}

func (s *windowRows) Row() Row {
	return Row{Shape: []int{s.length}, Tokens: true, Targets: s.length, Classes: s.classes}
}

// put writes the window that starts at token first into row i of b, as far as
// the text goes, and counts its targets.
func (s *windowRows) put(b *Batch, i, first int) int {
	x, y := b.Tokens[i*s.length:(i+1)*s.length], b.Y[i*s.length:(i+1)*s.length]
	n := 0 // targets that exist
	if first < len(s.ids)-1 {
		n = copy(y, s.ids[first+1:])
		copy(x[:n], s.ids[first:])
	}
	clear(x[n:])
	fill(y[n:], Ignore)
	return n
}

type windowTraining struct {
	windowRows
	order  Order
	offset philox.Key
}

func (s *windowTraining) Samples() int { return s.order.Len() }

// start is the first token of an epoch's first window.
func (s *windowTraining) start(epoch uint64) int {
	return philox.Below(s.offset.Index(epoch)[0], s.length)
}

func (s *windowTraining) Fill(b *Batch, r Request) error {
	epoch, place := r.Cursor/s.order.n, r.Cursor%s.order.n
	b.Begin(r, int(epoch))
	b.Valid = 0
	turn, start := s.order.shuffle(epoch), s.start(epoch)
	for i := range r.N {
		if place == s.order.n {
			epoch, place = epoch+1, 0
			turn, start = s.order.shuffle(epoch), s.start(epoch)
		}
		b.Valid += s.put(b, i, start+int(turn.at(place))*s.length)
		place++
	}
	return nil
}

type windowEvaluation struct{ windowRows }

func (s *windowEvaluation) Samples() int {
	return (len(s.ids) - 1 + s.length - 1) / s.length
}

func (s *windowEvaluation) Fill(b *Batch, r Request) error {
	b.Begin(r, 0)
	b.Valid = 0
	n := uint64(s.Samples())
	for i := range r.N {
		w := min(r.Cursor+uint64(i), n) // window n is past the end: empty
		b.Valid += s.put(b, i, int(w)*s.length)
	}
	return nil
}
