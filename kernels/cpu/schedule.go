package cpu

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// A phase is work between two barriers: either a region of batch stages that
// are interleaved chunk by chunk, or private stages that run side by side.
type phase struct {
	marks  []int // IDs to report before the phase starts
	region []scheduled
	side   []scheduled
}

// scheduled is a stage and the index of the op that it belongs to.
type scheduled struct {
	stage
	op int
}

// scheduler orders stages into phases. It holds one open round: private
// stages to run before the region, the region, private stages after it.
type scheduler struct {
	phases         []phase
	pre, mid, post []scheduled
	marks          []int
}

// maxRegion bounds the stages of a region. All tensors of a region live at the
// same time, so without a bound the forward pass of a network that is only
// evaluated would keep every intermediate result.
const maxRegion = 6

// conflicts reports whether s must keep its order with any stage of a list.
func conflicts(s *stage, with []scheduled) bool {
	for i := range with {
		o := &with[i].stage
		if overlap(s.reads, o.writes) || overlap(s.writes, o.reads) || overlap(s.writes, o.writes) {
			return true
		}
	}
	return false
}

func overlap(a, b []*kernels.Tensor) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Root() == y.Root() {
				return true
			}
		}
	}
	return false
}

// skewed reports whether s shares memory with a batch stage of a list in
// views whose slices do not coincide, so that image i of the one is not image
// i of the other. Such stages cannot be interleaved.
func skewed(s *stage, with []scheduled) bool {
	for i := range with {
		o := &with[i].stage
		if skew(s.reads, o.writes) || skew(s.writes, o.reads) || skew(s.writes, o.writes) {
			return true
		}
	}
	return false
}

func skew(a, b []*kernels.Tensor) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Root() != y.Root() {
				continue
			}
			_, i := x.Place()
			_, k := y.Place()
			apart := i+x.Bytes() <= k || k+y.Bytes() <= i
			if !apart && (i != k || x.Bytes() != y.Bytes()) {
				return true
			}
		}
	}
	return false
}

func (s *scheduler) add(x scheduled) {
	st := &x.stage
	switch {
	case st.isMark:
		if conflicts(st, s.mid) || conflicts(st, s.post) || conflicts(st, s.pre) {
			s.flush()
		}
		s.marks = append(s.marks, st.mark)
	case st.images > 0:
		if len(s.mid) > 0 && (len(s.mid) == maxRegion || s.mid[0].images != st.images || conflicts(st, s.post) || skewed(st, s.mid)) {
			s.flush()
		}
		s.mid = append(s.mid, x)
	case conflicts(st, s.post):
		s.flush()
		s.pre = append(s.pre, x)
	case conflicts(st, s.mid):
		s.post = append(s.post, x)
	case !conflicts(st, s.pre):
		s.pre = append(s.pre, x)
	case len(s.mid) > 0:
		s.post = append(s.post, x)
	default:
		s.flush()
		s.pre = append(s.pre, x)
	}
}

// flush closes the open round. Its first private stages join the last phase
// of the round before where nothing forbids it: one barrier less.
func (s *scheduler) flush() {
	pre := s.pre
	if n := len(s.phases); n > 0 && len(s.marks) == 0 && len(s.phases[n-1].side) > 0 {
		last := &s.phases[n-1]
		rest := pre[:0:0]
		for _, x := range pre {
			if conflicts(&x.stage, last.side) || conflicts(&x.stage, rest) {
				rest = append(rest, x)
			} else {
				last.side = append(last.side, x)
			}
		}
		pre = rest
	}
	if len(pre) > 0 {
		s.phases = append(s.phases, phase{side: pre, marks: s.marks})
		s.marks = nil
	}
	if len(s.mid) > 0 {
		s.phases = append(s.phases, phase{region: s.mid, marks: s.marks})
		s.marks = nil
	}
	if len(s.post) > 0 {
		s.phases = append(s.phases, phase{side: s.post})
	}
	s.pre, s.mid, s.post = nil, nil, nil
}

// schedule lowers the ops and orders their stages. Marks that follow the last
// phase are returned apart.
func (d *Device) schedule(ops []kernels.Op) (*lowering, []phase, []int, error) {
	l := &lowering{d: d, refs: map[*kernels.Tensor]*ref{}}
	s := &scheduler{}
	for i, op := range ops {
		l.op = i
		st, err := l.lower(op)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("op %d %T: %w", i, op, err)
		}
		for _, x := range st {
			s.add(scheduled{x, i})
		}
	}
	s.flush()
	return l, s.phases, s.marks, nil
}

// Schedule implements kernels.Device: a group is a phase.
func (d *Device) Schedule(ops []kernels.Op) ([]kernels.Span, error) {
	_, phases, _, err := d.schedule(ops)
	if err != nil {
		return nil, err
	}
	spans := make([]kernels.Span, len(ops))
	for i := range spans {
		spans[i] = kernels.Span{First: -1}
	}
	for g, p := range phases {
		for _, x := range slices.Concat(p.region, p.side) {
			sp := &spans[x.op]
			if sp.First < 0 {
				sp.First = g
			}
			sp.Last = g
		}
	}
	for i := range spans { // marks and ops without stages sit behind their predecessor
		if spans[i].First < 0 {
			spans[i] = kernels.Span{}
			if i > 0 {
				spans[i] = kernels.Span{First: spans[i-1].Last, Last: spans[i-1].Last}
			}
		}
	}
	return spans, nil
}
