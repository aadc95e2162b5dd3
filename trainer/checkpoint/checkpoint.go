// Package checkpoint keeps the state of a run on disk: safetensors files that
// other tools can read, and a manifest that makes them one whole.
//
// A run's folder holds
//
//	checkpoints/step-00001234/state-00000-of-00001.safetensors
//	checkpoints/step-00001234/manifest.json
//
// # Promises
//
//   - All or nothing. A checkpoint is written into step-….tmp-PID, every file
//     and the folder are synced, and one rename makes it visible. A crash or a
//     full disk at any operation leaves the previous checkpoint in place.
//   - Nothing damaged is used. Every byte of every file stands under a SHA-256
//     in the manifest, and the manifest under its own. Latest passes over what
//     is incomplete or altered and says which file or tensor, and why.
//   - Same state, same bytes. Files, manifest and Digest are functions of the
//     State alone; tensors may be cut into any number of files and are read
//     back by any number of workers.
//   - Training waits for a copy in memory only: see Saver.
//
// # What it leaves to others
//
// Which tensors a state has, what the plan, the methods and the optimizer
// write into Meta, and whether a checkpoint fits the job (Meta.Job) is the
// trainer's business. One process at a time writes into a checkpoints folder;
// any number may read. Sums protect against accidents, not against someone
// who can write into the folder.
//
// # Example
//
//	saver, err := checkpoint.NewSaver(checkpoint.SaverConfig{
//		Store: checkpoint.Store{Dir: "run/checkpoints"}, Keep: 3})
//	...
//	err = saver.Begin(checkpoint.State{Meta: meta, Tensors: tensors}) // copies, returns
//	...
//	err = saver.Close()
//
//	state, path, skipped, err := checkpoint.Store{Dir: "run/checkpoints"}.LoadLatest()
package checkpoint

import (
	"encoding/json"
	"fmt"
	"time"
)

// State is what a checkpoint holds. Tensors keep their order through Save and
// Load; their names are unique.
type State struct {
	Meta    Meta
	Tensors []Tensor
}

// Meta is the part of a state that isn't tensors. The raw parts belong to
// other packages; they must be valid JSON (nil is left out) and come back
// compacted: the same tokens without white space between them.
type Meta struct {
	Step   uint64 `json:"step"`             // optimizer steps committed
	Cursor uint64 `json:"cursor"`           // samples consumed since the start of the run
	Seed   uint64 `json:"seed"`             // seed of the run
	World  int    `json:"world"`            // ranks when saved; any number may load
	Shards int    `json:"shards,omitempty"` // logical shards of the global batch
	Job    string `json:"job,omitempty"`    // hash of the resolved job file
	Tool   string `json:"tool,omitempty"`   // name and version of the writer

	// Created is for people; nothing may depend on it. Zero is left out.
	Created time.Time `json:"created,omitzero"`

	// Digest is Digest(Tensors). Zero lets Save fill it in; any other value
	// is checked against the tensors and refused if it differs.
	Digest Sum `json:"digest"`

	Plan    json.RawMessage            `json:"plan,omitempty"`    // topology plan, masks
	Methods map[string]json.RawMessage `json:"methods,omitempty"` // state of each method, by name
	Parts   map[string]json.RawMessage `json:"parts,omitempty"`   // others: "optim" (ages), "data", …
}

// SetPart stores v, encoded as JSON, under Parts[name].
func (m *Meta) SetPart(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("checkpoint: part %q: %w", name, err)
	}
	if m.Parts == nil {
		m.Parts = map[string]json.RawMessage{}
	}
	m.Parts[name] = raw
	return nil
}

// Part decodes Parts[name] into v. A part that isn't there is an error.
func (m *Meta) Part(name string, v any) error {
	raw, ok := m.Parts[name]
	if !ok {
		return fmt.Errorf("checkpoint: no part %q in step %d", name, m.Step)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("checkpoint: part %q of step %d: %w", name, m.Step, err)
	}
	return nil
}

// Find returns the tensor called name. It shares the state's memory.
func (s State) Find(name string) (Tensor, bool) {
	for _, t := range s.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// check tells whether m can be written.
func (m *Meta) check() error {
	if err := validRaw("plan", m.Plan); err != nil {
		return err
	}
	for name, raw := range m.Methods {
		if err := validRaw("method "+name, raw); err != nil {
			return err
		}
	}
	for name, raw := range m.Parts {
		if err := validRaw("part "+name, raw); err != nil {
			return err
		}
	}
	return nil
}

func validRaw(what string, raw json.RawMessage) error {
	if raw != nil && !json.Valid(raw) {
		return fmt.Errorf("checkpoint: meta: %s is no valid JSON", what)
	}
	return nil
}

// clone copies everything m refers to.
func (m Meta) clone() Meta {
	m.Plan = append(json.RawMessage(nil), m.Plan...)
	m.Methods = cloneRaw(m.Methods)
	m.Parts = cloneRaw(m.Parts)
	return m
}

func cloneRaw(in map[string]json.RawMessage) map[string]json.RawMessage {
	if in == nil {
		return nil
	}
	out := make(map[string]json.RawMessage, len(in))
	for name, raw := range in {
		out[name] = append(json.RawMessage(nil), raw...)
	}
	return out
}
