package trainer

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// planned is the part of a checkpoint of a method of which everything else
// follows from the step and the network's own tensors.
type planned struct {
	Hash string          `json:"hash"`
	Plan json.RawMessage `json:"plan"`
}

// SavePlan is Save of a method that keeps nothing but the plan it follows.
func SavePlan(plan any, hash string) (json.RawMessage, error) {
	b, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	return json.Marshal(planned{Hash: hash, Plan: b})
}

// LoadPlan is its Load: it refuses a checkpoint that was made without the
// method, or under another plan. what names the method in the error.
func LoadPlan(raw json.RawMessage, hash, what string) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return fmt.Errorf("the checkpoint was made without %s: start anew or take it out of the job", what)
	}
	var s planned
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("state of %s: %w", what, err)
	}
	if s.Hash != hash {
		return fmt.Errorf("the checkpoint follows another plan of %s: %.300s; start anew or restore the job", what, s.Plan)
	}
	return nil
}
