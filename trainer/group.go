package trainer

import (
	"context"
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
)

// Group hands out the communicators of a run, one generation after another.
//
// The run asks for the first one before its first step and for another when
// one broke or was drained (see Run.RequestRegroup). What the ranks of the new
// generation hold may differ: they bring their state in line over it before
// they go on. The run closes every communicator that it was given, but for
// that of Fixed.
type Group interface {
	// Form waits for the next generation and returns this rank's communicator
	// in it. broken is what ended the last one, nil at the start and after a
	// drain. ErrLeft means that the rank leaves in good order; any other error
	// ends the run for this rank.
	Form(ctx context.Context, broken error) (collective.Comm, error)
}

// ErrLeft is what Form returns to a rank that is to leave the run, and what
// Train returns then.
var ErrLeft = errors.New("left the run")

// Fixed is a group of one generation: it hands comm out once, and a run whose
// communicator breaks ends. comm remains the caller's, who closes it, or aborts
// it with the error of Train.
func Fixed(comm collective.Comm) Group { return &fixed{comm: comm} }

type fixed struct {
	comm collective.Comm
	used bool
}

// Form implements Group.
func (f *fixed) Form(_ context.Context, broken error) (collective.Comm, error) {
	switch {
	case !f.used:
		f.used = true
		return f.comm, nil
	case broken == nil:
		return nil, errors.New("this group of ranks cannot form anew: it is fixed")
	}
	return nil, fmt.Errorf("the group of ranks is fixed and broke: %w", broken)
}

// once reports whether there will be no other generation.
func (r *Run) once() bool {
	_, once := r.cfg.Group.(*fixed)
	return once
}
