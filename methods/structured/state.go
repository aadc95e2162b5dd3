package structured

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/espalier-ml/espalier/trainer"
)

// begin compares the run with the plan before its first step here.
func (m *Method) begin(r *trainer.Run) error {
	p := m.plan
	if r.Steps() != p.Steps {
		return fmt.Errorf("the run has %d steps, the plan of the structure %d", r.Steps(), p.Steps)
	}
	if r.Step >= p.First {
		if err := m.checkSizes(r); err != nil {
			return err
		}
	}
	at := ranks(p.Space, m.archive.seen)
	for _, q := range append(r.Graph().Params()[:len(r.Graph().Params()):len(r.Graph().Params())], r.Graph().States()...) {
		for key, v := range m.archive.kept {
			name, _, _ := strings.Cut(key, "/")
			if name == q.Name && len(v) != size(layout(q, at)) {
				return fmt.Errorf("the checkpoint has %d values of what left %s, want %d", len(v), key, size(layout(q, at)))
			}
		}
	}
	return nil
}

// checkSizes refuses a network that somebody else has changed.
func (m *Method) checkSizes(r *trainer.Run) error {
	for _, g := range m.plan.Space.Groups {
		d := dimOf(r.Graph(), g.Dim)
		if d == nil {
			return fmt.Errorf("the network has no dim %s", g.Dim)
		}
		if want := len(m.units[g.Dim]); d.Size() != want {
			return fmt.Errorf("dim %s has %d units at step %d, want %d: the run must start with Plan.Initial, and growing must end before the structure is searched", g.Dim, d.Size(), r.Step, want)
		}
	}
	return nil
}

// saved is the method's part of a checkpoint besides what it keeps.
type saved struct {
	Hash   string          `json:"hash"`
	Lambda float64         `json:"lambda"`
	Plan   json.RawMessage `json:"plan"`
}

// Save keeps the plan and the price.
func (m *Method) Save() (json.RawMessage, error) {
	plan, err := json.Marshal(m.plan)
	if err != nil {
		return nil, err
	}
	return json.Marshal(saved{m.plan.Hash(), m.lambda, plan})
}

// Load refuses a checkpoint of another plan.
func (m *Method) Load(raw json.RawMessage) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errors.New("the checkpoint was made without a search for the structure: start anew or take it out of the job")
	}
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("state of the structure: %w", err)
	}
	if s.Hash != m.plan.Hash() {
		return fmt.Errorf("the checkpoint follows another plan of the structure: %.300s; start anew or restore the job", s.Plan)
	}
	m.lambda = s.Lambda
	return nil
}

// fields are what a checkpoint holds of every component.
func (m *Method) fields() map[string]*[]float32 {
	return map[string]*[]float32{"s": &m.s, "momentum": &m.momentum, "counts": &m.counts, "born": &m.born, "mu": &m.mu}
}

func (m *Method) flags() map[string]*[]bool {
	return map[string]*[]bool{"active": &m.active, "sampled": &m.sampled, "seen": &m.archive.seen}
}

// Kept is the state of all components, and the values of those that are not
// there at present.
func (m *Method) Kept() []trainer.Kept {
	var out []trainer.Kept
	put := func(name string, v []float32) {
		out = append(out, trainer.Kept{Name: name, Shape: []int{len(v)}, Values: v})
	}
	for name, v := range m.fields() {
		put(name, *v)
	}
	for name, b := range m.flags() {
		v := make([]float32, len(*b))
		for i, set := range *b {
			if set {
				v[i] = 1
			}
		}
		put(name, v)
	}
	out = append(out, m.archive.list()...)
	slices.SortFunc(out, func(a, b trainer.Kept) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Restore takes them from a checkpoint.
func (m *Method) Restore(all []trainer.Kept) error {
	m.archive.kept = map[string][]float32{}
	fields, flags := m.fields(), m.flags()
	found := 0
	for _, k := range all {
		if key, ok := strings.CutPrefix(k.Name, "archive."); ok {
			m.archive.kept[key] = k.Values
			continue
		}
		if v := fields[k.Name]; v != nil {
			if len(k.Values) != len(*v) {
				return fmt.Errorf("%s of %d components, want %d", k.Name, len(k.Values), len(*v))
			}
			*v = k.Values
			found++
		}
		if b := flags[k.Name]; b != nil {
			if len(k.Values) != len(*b) {
				return fmt.Errorf("%s of %d components, want %d", k.Name, len(k.Values), len(*b))
			}
			*b = make([]bool, len(k.Values))
			for i, x := range k.Values {
				(*b)[i] = x != 0
			}
			found++
		}
	}
	if found != len(fields)+len(flags) {
		return fmt.Errorf("the checkpoint has %d of the %d tables of the structure", found, len(fields)+len(flags))
	}
	m.closeEngine()
	m.began = false
	m.arrange()
	return nil
}
