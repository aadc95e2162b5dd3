package trainer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// The committed state of a run, in checkpoints and on the way from rank to
// rank: parameters and running statistics under their own names, optimizer
// state under "optim.<slot>.<parameter>" and "optim.<scalar>", what methods
// keep (see Keeper), and in its metadata the shape, the births of growth stages
// and the state of methods. It is the same on every rank, byte for byte. What
// was spent so far goes with it, as an account of its own.

// plan is the shape part of a checkpoint.
type plan struct {
	Sizes  graph.Sizes `json:"sizes"`
	Births []uint64    `json:"births"`
}

// spent is what earlier attempts of the run have used.
type spent struct {
	Seconds float64       `json:"seconds"`
	Flops   float64       `json:"flops"`
	Eval    *metrics.Eval `json:"eval,omitempty"`
}

// named is a tensor with its name in a checkpoint: on the device, or values
// that a method keeps.
type named struct {
	name   string
	t      *kernels.Tensor
	shape  []int
	values []float32
}

// read returns the values; buf holds those of any parameter.
func (n named) read(dev kernels.Device, buf []float32) ([]float32, error) {
	if n.t == nil {
		return n.values, nil
	}
	buf = buf[:n.t.Len()]
	return buf, dev.ReadF32(n.t, buf)
}

// tensors lists the state of the network in a fixed order.
func (n *network) tensors() []named {
	var out []named
	for _, p := range n.all() {
		out = append(out, named{name: p.Name, t: p.W, shape: p.W.Shape})
	}
	slots := n.cfg.Optim.Slots()
	for _, e := range n.opt.Entries {
		for k, t := range e.Slots {
			out = append(out, named{name: "optim." + slots[k] + "." + e.Param.Name, t: t, shape: t.Shape})
		}
	}
	for _, x := range n.opt.Scalars {
		out = append(out, named{name: "optim." + x.Name, t: x.T, shape: x.T.Shape})
	}
	return out
}

// state describes the run's state, without what is only for the record; the
// tensors' values are read later.
func (r *Run) state() (checkpoint.State, []named, error) {
	ts := append(r.net.tensors(), r.kept()...)
	st := checkpoint.State{Meta: checkpoint.Meta{Step: r.Step, Cursor: r.Samples(), Seed: r.cfg.Seed, Shards: r.cfg.Shards, Job: r.cfg.Job}}
	for _, t := range ts {
		st.Tensors = append(st.Tensors, checkpoint.Tensor{Name: t.name, DType: checkpoint.F32, Shape: slices.Clone(t.shape)})
	}
	var err error
	if st.Meta.Plan, err = json.Marshal(plan{r.net.sizes, r.Births}); err != nil {
		return st, nil, err
	}
	for _, m := range r.cfg.Methods {
		raw, err := m.Save()
		if err != nil {
			return st, nil, fmt.Errorf("method %s: %w", m.Name(), err)
		}
		if raw != nil {
			if st.Meta.Methods == nil {
				st.Meta.Methods = map[string]json.RawMessage{}
			}
			st.Meta.Methods[m.Name()] = raw
		}
	}
	return st, ts, nil
}

// capture copies the state to memory, which is used if it is large enough.
func (r *Run) capture(memory []byte) (checkpoint.Packed, error) {
	st, ts, err := r.state()
	if err != nil {
		return checkpoint.Packed{}, err
	}
	return r.pack(st, ts, memory)
}

// pack copies the values of a state's tensors to memory, if it is large enough.
func (r *Run) pack(st checkpoint.State, ts []named, memory []byte) (checkpoint.Packed, error) {
	return checkpoint.Pack(st, memory, func(i int, dst []byte) error {
		v, err := ts[i].read(r.cfg.Device, r.net.host)
		if err == nil {
			checkpoint.PutFloat32s(dst, v)
		}
		return err
	})
}

// restore builds the network of a state and fills it.
func (r *Run) restore(ctx context.Context, h *held) error {
	st := h.State
	var p plan
	if err := json.Unmarshal(st.Meta.Plan, &p); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if len(p.Births) == 0 || st.Meta.Step > r.cfg.steps() {
		return fmt.Errorf("plan with %d stages at step %d of %d", len(p.Births), st.Meta.Step, r.cfg.steps())
	}
	n, err := newNetwork(ctx, &r.cfg, r.comm, p.Sizes, r.cfg.batch(st.Meta.Step), p.Births)
	if err != nil {
		return err
	}
	r.Step, r.Births, r.net = st.Meta.Step, p.Births, n
	for _, t := range n.tensors() {
		if err := n.load(st, t); err != nil {
			return err
		}
	}
	for _, m := range r.cfg.Methods {
		if err := m.Load(st.Meta.Methods[m.Name()]); err != nil {
			return fmt.Errorf("method %s: %w", m.Name(), err)
		}
		if err := restoreKept(m, st); err != nil {
			return fmt.Errorf("method %s: %w", m.Name(), err)
		}
	}
	return nil
}

// load copies one tensor of a state into the network.
func (n *network) load(st checkpoint.State, t named) error {
	c, ok := st.Find(t.name)
	if !ok {
		return fmt.Errorf("no tensor %s", t.name)
	}
	if !slices.Equal(c.Shape, t.t.Shape) {
		return fmt.Errorf("tensor %s has shape %v, the network wants %v", t.name, c.Shape, t.t.Shape)
	}
	buf := n.host[:t.t.Len()]
	if err := c.CopyFloat32s(buf); err != nil {
		return fmt.Errorf("tensor %s: %w", t.name, err)
	}
	return n.cfg.Device.WriteF32(t.t, buf)
}
