package packed

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// Device computes the packed layers of a network and hands all other ops on to
// another device, whose memory the host must be able to address.
type Device struct {
	kernels.Device
	net     *Network
	threads int
}

// NewDevice returns a device for a network's layers on up to `threads`
// goroutines.
func NewDevice(n *Network, other kernels.Device, threads int) *Device {
	return &Device{Device: other, net: n, threads: max(1, threads)}
}

// Name implements kernels.Device.
func (d *Device) Name() string { return "packed on " + d.Device.Name() }

// part is a run of ops for the other device, or one packed layer.
type part struct {
	ops   []int // of the other device
	layer *Layer
	at    int // op of the layer
	norm  int // op of the norm that is folded into it, where it runs; else at
}

// split cuts a list of ops into parts. A layer with a folded norm runs where
// the norm stood, when its residual is there.
func (d *Device) split(ops []kernels.Op) ([]part, error) {
	skip := map[int]*part{} // norms, by place
	var parts []part
	other := func(i int) {
		if n := len(parts); n > 0 && parts[n-1].layer == nil {
			parts[n-1].ops = append(parts[n-1].ops, i)
			return
		}
		parts = append(parts, part{ops: []int{i}})
	}
	for i, op := range ops {
		if p := skip[i]; p != nil {
			parts = append(parts, *p)
			continue
		}
		w, y := weightOf(op)
		var l *Layer
		if w != nil {
			l = d.net.Layer(w.Name)
		}
		if l == nil {
			other(i)
			continue
		}
		p := part{layer: l, at: i, norm: i}
		if l.Norm == "" {
			parts = append(parts, p)
			continue
		}
		for k := i + 1; k < len(ops); k++ {
			if b, ok := ops[k].(*kernels.BatchNormInfer); ok && b.X == y && b.Gamma.Name == l.Norm {
				p.norm = k
			}
		}
		if p.norm == i {
			return nil, fmt.Errorf("packed layer %s: its batch norm %s is not behind it", l.Name, l.Norm)
		}
		skip[p.norm] = &p
	}
	return parts, nil
}

// Schedule implements kernels.Device.
func (d *Device) Schedule(ops []kernels.Op) ([]kernels.Span, error) {
	parts, err := d.split(ops)
	if err != nil {
		return nil, err
	}
	spans := make([]kernels.Span, len(ops))
	group := 0
	for _, p := range parts {
		if p.layer != nil {
			spans[p.at], spans[p.norm] = kernels.Span{First: group, Last: group}, kernels.Span{First: group, Last: group}
			group++
			continue
		}
		inner, err := d.Device.Schedule(pick(ops, p.ops))
		if err != nil {
			return nil, err
		}
		last := 0
		for i, s := range inner {
			spans[p.ops[i]] = kernels.Span{First: group + s.First, Last: group + s.Last}
			last = max(last, s.Last)
		}
		group += last + 1
	}
	return spans, nil
}

func pick(ops []kernels.Op, at []int) []kernels.Op {
	out := make([]kernels.Op, len(at))
	for i, k := range at {
		out[i] = ops[k]
	}
	return out
}

// Compile implements kernels.Device.
func (d *Device) Compile(ops []kernels.Op) (kernels.Executable, error) {
	parts, err := d.split(ops)
	if err != nil {
		return nil, err
	}
	x := &executable{}
	for _, p := range parts {
		if p.layer == nil {
			e, err := d.Device.Compile(pick(ops, p.ops))
			if err != nil {
				x.Close()
				return nil, err
			}
			x.steps = append(x.steps, step{exec: e})
			continue
		}
		s, err := d.bind(p, ops)
		if err != nil {
			x.Close()
			return nil, fmt.Errorf("packed layer %s: %w", p.layer.Name, err)
		}
		x.steps = append(x.steps, *s)
	}
	return x, nil
}

// step is one part ready to run.
type step struct {
	exec kernels.Executable

	plan           *Plan
	x, y, residual []float32
	relu           bool
}

// bind prepares a packed layer on the memory of its operands.
func (d *Device) bind(p part, ops []kernels.Op) (*step, error) {
	s := &step{}
	var g Geometry
	var act kernels.Act
	var x, y, residual *kernels.Tensor
	switch o := ops[p.at].(type) {
	case *kernels.MatMul:
		x, y, act = o.A, o.C, o.Act
		g.Rows = o.A.Rows()
	case *kernels.Conv2D:
		x, y, act = o.X, o.Y, o.Act
		g = Geometry{Rows: x.Shape[0], Height: x.Shape[1], Width: x.Shape[2], OutHeight: y.Shape[1], OutWidth: y.Shape[2], Stride: o.Stride, Pad: o.Pad}
	}
	if b, ok := ops[p.norm].(*kernels.BatchNormInfer); ok {
		y, residual, s.relu = b.Y, b.Residual, b.ReLU
	}
	if x.Dim(-1) != p.layer.Channels || y.Dim(-1) != p.layer.Outs {
		return nil, fmt.Errorf("from %v to %v, want %d channels and %d outputs", x, y, p.layer.Channels, p.layer.Outs)
	}
	for _, b := range []struct {
		t  *kernels.Tensor
		to *[]float32
	}{{x, &s.x}, {y, &s.y}, {residual, &s.residual}} {
		if b.t == nil {
			continue
		}
		var err error
		if *b.to, err = floats(b.t); err != nil {
			return nil, err
		}
	}
	s.plan = NewPlan(p.layer, g, act, d.threads)
	return s, nil
}

// floats is the memory of a placed tensor.
func floats(t *kernels.Tensor) ([]float32, error) {
	buf, off := t.Place()
	if buf == nil {
		return nil, fmt.Errorf("%v has no memory", t)
	}
	host := buf.Host()
	if host == nil {
		return nil, fmt.Errorf("%v: %w: memory that the host cannot address", t, kernels.ErrUnsupported)
	}
	if off < 0 || off+t.Bytes() > len(host) {
		return nil, fmt.Errorf("%v lies at %d of %d bytes", t, off, len(host))
	}
	return vec.Of[float32](host[off : off+t.Bytes()]), nil
}

// executable runs parts in order.
type executable struct{ steps []step }

// Run implements kernels.Executable.
func (x *executable) Run(env *kernels.Env, onMark func(id int)) error {
	for i := range x.steps {
		s := &x.steps[i]
		if s.exec == nil {
			s.plan.Run(s.y, s.x, s.residual, s.relu)
			continue
		}
		if err := s.exec.Run(env, onMark); err != nil {
			return err
		}
	}
	return nil
}

// Scratch implements kernels.Executable: of the other device's parts.
func (x *executable) Scratch() (n int) {
	for _, s := range x.steps {
		if s.exec != nil {
			n += s.exec.Scratch()
		}
	}
	return n
}

// Close implements kernels.Executable.
func (x *executable) Close() error {
	var first error
	for _, s := range x.steps {
		if s.exec == nil {
			continue
		}
		if err := s.exec.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
