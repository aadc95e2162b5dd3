package sparsify

import (
	"encoding/json"

	"github.com/espalier-ml/espalier/trainer"
)

// Save keeps the plan: everything else follows from the step and the network.
func (m *Method) Save() (json.RawMessage, error) { return trainer.SavePlan(m.plan, m.plan.Hash()) }

// Load refuses a checkpoint of another plan.
func (m *Method) Load(raw json.RawMessage) error {
	return trainer.LoadPlan(raw, m.plan.Hash(), "sparsification")
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
