package trainer

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// Keeper is a Method with values of its own that belong to the state of the
// run: they are in checkpoints beside the parameters, under
// "method.<method>.<name>", and count in the digest.
type Keeper interface {
	Method
	// Kept lists them, alike on all ranks. They may change afterwards only
	// during events.
	Kept() []Kept
	// Restore is called behind Load with those of the checkpoint, in any
	// order; the method may keep the slices.
	Restore([]Kept) error
}

// Kept are values that a method keeps under a name.
type Kept struct {
	Name   string
	Shape  []int
	Values []float32
}

func keptPrefix(m Method) string { return "method." + m.Name() + "." }

// kept lists what methods keep.
func (r *Run) kept() (out []named) {
	for _, m := range r.cfg.Methods {
		k, ok := m.(Keeper)
		if !ok {
			continue
		}
		for _, v := range k.Kept() {
			out = append(out, named{name: keptPrefix(m) + v.Name, shape: v.Shape, values: v.Values})
		}
	}
	return out
}

// restoreKept gives a method back what it kept.
func restoreKept(m Method, st checkpoint.State) error {
	k, ok := m.(Keeper)
	if !ok {
		return nil
	}
	var all []Kept
	for _, t := range st.Tensors {
		name, own := strings.CutPrefix(t.Name, keptPrefix(m))
		if !own {
			continue
		}
		if t.DType != checkpoint.F32 {
			return fmt.Errorf("tensor %s is %s, want F32", t.Name, t.DType)
		}
		v := Kept{Name: name, Shape: t.Shape, Values: make([]float32, len(t.Data)/4)}
		if err := t.CopyFloat32s(v.Values); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		all = append(all, v)
	}
	return k.Restore(all)
}
