package sparsify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
)

// saved is the method's part of a checkpoint: everything else follows from
// the step.
type saved struct {
	Hash string          `json:"hash"`
	Plan json.RawMessage `json:"plan"`
}

// Save keeps the plan.
func (m *Method) Save() (json.RawMessage, error) {
	plan, err := json.Marshal(m.plan)
	if err != nil {
		return nil, err
	}
	return json.Marshal(saved{Hash: m.plan.Hash(), Plan: plan})
}

// Load refuses a checkpoint of another plan.
func (m *Method) Load(raw json.RawMessage) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errors.New("the checkpoint was made without sparsification: start anew or take it out of the job")
	}
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("state of sparsification: %w", err)
	}
	if s.Hash != m.plan.Hash() {
		return fmt.Errorf("the checkpoint follows another plan of sparsification: %.300s; start anew or restore the job", s.Plan)
	}
	return nil
}

// Kept are the weights to rewind to, from the step on at which they were
// remembered.
func (m *Method) Kept() []trainer.Kept { return m.rewound }

// Restore takes them from a checkpoint.
func (m *Method) Restore(k []trainer.Kept) error {
	m.rewound = nil
	if len(k) > 0 {
		m.rewound = k
	}
	return nil
}
