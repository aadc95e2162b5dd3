package checkpoint

import (
	"fmt"
	"slices"
	"time"
)

// snapshot is a State in memory of its own, used over and over.
type snapshot struct {
	state   State
	data    []byte        // holds all tensors' data
	blocked time.Duration // how long training waited for the copy
}

// take describes the tensors of st in the snapshot and lets fill write the
// data of each. The memory grows when the model has; otherwise it is reused.
func (s *snapshot) take(st State, fill func(i int, dst []byte)) error {
	total := int64(0)
	for _, t := range st.Tensors {
		n, err := t.Bytes()
		if total += n; err != nil || total < 0 {
			return fmt.Errorf("tensor %q: %w", t.Name, ErrShapeOverflow)
		}
	}
	if int64(cap(s.data)) < total {
		s.data = nil // lets the collector take the old before the new is made
		s.data = make([]byte, total)
	}
	s.state.Meta = st.Meta.clone()
	s.state.Tensors = slices.Grow(s.state.Tensors[:0], len(st.Tensors))[:len(st.Tensors)]
	at := int64(0)
	for i, t := range st.Tensors {
		n, _ := t.Bytes()
		own := &s.state.Tensors[i]
		own.Name, own.DType = t.Name, t.DType
		own.Shape = append(own.Shape[:0], t.Shape...)
		own.Data = s.data[at : at+n : at+n]
		fill(i, own.Data)
		at += n
	}
	return nil
}
