package trainer

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Planner is a Method that knows beforehand at which boundaries it changes
// something. Where ranks may come and go the trainer keeps a copy of the state
// at a boundary, so that a boundary whose step is never committed can be
// undone; Planners save it the copy of those at which nothing changes.
type Planner interface {
	Method
	// Changes reports whether On may change state at the boundary before a
	// step: values of the network or of its optimizer, or what Save and Kept
	// return. It is true when in doubt.
	Changes(step uint64) bool
}

// undo is the state before a boundary that may have changed it.
type undo struct {
	valid   bool
	state   checkpoint.Packed
	memory  []byte           // for the next one
	reports []metrics.Record // made since, of what is not committed yet
}

// guard prepares for the end of the communicator before the step that begins
// now is committed.
func (r *Run) guard() error {
	if r.once() || !r.mayChange() {
		return nil
	}
	p, err := r.capture(r.undo.memory)
	if err != nil {
		return fmt.Errorf("copy of the state: %w", err)
	}
	r.undo.state, r.undo.memory, r.undo.valid = p, p.Bytes, true
	return nil
}

func (r *Run) mayChange() bool {
	for _, m := range r.cfg.Methods {
		if p, ok := m.(Planner); !ok || p.Changes(r.Step) {
			return true
		}
	}
	return false
}

// commit ends what guard began.
func (r *Run) commit() {
	r.undo.valid = false
	for _, rec := range r.undo.reports {
		r.report(rec)
	}
	r.undo.reports = r.undo.reports[:0]
}

// hold keeps the committed state when a generation ends.
func (r *Run) hold() error {
	if r.net == nil {
		return nil // it is still held
	}
	h := &held{spent: spent{r.seconds(), r.flops, r.last}}
	if r.undo.valid {
		h.Packed = r.undo.state
	} else {
		p, err := r.capture(r.undo.memory)
		if err != nil {
			return fmt.Errorf("keep the state: %w", err)
		}
		h.Packed = p
	}
	r.undo = undo{}
	r.held = h
	return nil
}

// report hands a record to who listens, on ranks that lead. Records of a
// boundary that may be undone wait until its step is committed.
func (r *Run) report(rec metrics.Record) {
	switch {
	case !r.lead || r.cfg.Report == nil:
	case r.undo.valid:
		r.undo.reports = append(r.undo.reports, rec)
	default:
		r.cfg.Report(rec)
	}
}
