package sparsify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Retrain trains a ticket in a run of its own: the network starts from the
// ticket's values and keeps its mask.
type Retrain struct {
	ticket *Ticket
	hash   string
}

var (
	_ trainer.Weigher = (*Retrain)(nil)
	_ trainer.Planner = (*Retrain)(nil)
)

// NewRetrain returns the method that trains a ticket. A ticket without values
// is trained from the run's own first values.
func NewRetrain(t *Ticket) *Retrain {
	h := sha256.New()
	head, err := json.Marshal(t)
	if err != nil {
		panic(err) // plain data
	}
	h.Write(head)
	for _, m := range t.Masks {
		h.Write(m.Bits)
	}
	return &Retrain{ticket: t, hash: hex.EncodeToString(h.Sum(nil))}
}

// Name is the method's name in job files and checkpoints.
func (m *Retrain) Name() string { return "ticket" }

// Weight puts the ticket's gates on its weights.
func (m *Retrain) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	mask := m.ticket.Mask(p.Name)
	if mask == nil {
		return v
	}
	if !slices.Equal(mask.Shape, p.W.Shape) {
		graph.Fail("the ticket has a mask of shape %v for %v: it is of another network", mask.Shape, p)
	}
	return gate(g, p, v)
}

// On sets values and gates before the first step, and folds the gates into
// the weights behind the last.
func (m *Retrain) On(e trainer.Event, r *trainer.Run) error {
	switch {
	case e == trainer.Boundary:
		if r.Step == 0 {
			if err := m.start(r); err != nil {
				return err
			}
		}
		return pack(r)
	case e == trainer.Stepped && r.Step == r.Steps():
		return fold(r.Device(), layers(r.Graph()))
	}
	return nil
}

// Changes is true before the first step.
func (m *Retrain) Changes(step uint64) bool { return step == 0 }

func (m *Retrain) start(r *trainer.Run) error {
	all := layers(r.Graph())
	if len(all) != len(m.ticket.Masks) {
		return fmt.Errorf("the ticket has masks for %d weights, the network has %d of them: it is of another network", len(m.ticket.Masks), len(all))
	}
	for _, l := range all {
		if err := r.Device().WriteF32(l.gate.W, m.ticket.Mask(l.w.Name).gates(m.ticket.Factor)); err != nil {
			return err
		}
	}
	if len(m.ticket.Values) == 0 {
		return nil
	}
	values, err := remembered(m.ticket.Values).byName(r.Graph())
	if err != nil {
		return err
	}
	for _, p := range ordinary(r.Graph()) {
		if err := r.Device().WriteF32(p.W, values[p.Name]); err != nil {
			return err
		}
	}
	return nil
}

// Save keeps which ticket it is.
func (m *Retrain) Save() (json.RawMessage, error) { return json.Marshal(m.hash) }

// Load refuses a checkpoint of another ticket.
func (m *Retrain) Load(raw json.RawMessage) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errors.New("the checkpoint was made without a ticket")
	}
	var hash string
	if err := json.Unmarshal(raw, &hash); err != nil {
		return fmt.Errorf("state of a ticket: %w", err)
	}
	if hash != m.hash {
		return errors.New("the checkpoint was made with another ticket: start anew or restore the job")
	}
	return nil
}
