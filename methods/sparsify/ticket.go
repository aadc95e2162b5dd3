package sparsify

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// Ticket is a sub-network: what the hard mask keeps, and, from a search for
// tickets, the values that it is trained from.
type Ticket struct {
	Round  int     `json:"round"` // that found it, from 0
	S0     float64 `json:"s0"`
	Factor float32 `json:"factor"` // c: what an open gate multiplies by
	Step   uint64  `json:"step"`   // before which Values were
	Masks  []Mask  `json:"masks"`
	// Values are parameters and running statistics by name; none when the
	// search was for pruning.
	Values []trainer.Kept `json:"-"`
}

// Mask says which entries of a weight are kept.
type Mask struct {
	Name  string `json:"name"` // of the weight
	Shape []int  `json:"shape"`
	// Bits has a bit for every entry in row-major order, the lowest of a
	// byte first; bits behind the last entry are 0.
	Bits []byte `json:"-"`
}

// Len is the number of entries, Kept that of the kept ones.
func (m Mask) Len() int {
	n := 1
	for _, d := range m.Shape {
		n *= d
	}
	return n
}

// Kept is the number of entries that are kept.
func (m Mask) Kept() (n int) {
	for _, b := range m.Bits {
		n += bits.OnesCount8(b)
	}
	return n
}

// Density is the share of entries that are kept.
func (m Mask) Density() float64 { return float64(m.Kept()) / float64(max(1, m.Len())) }

// Keeps reports whether entry i is kept.
func (m Mask) Keeps(i int) bool { return m.Bits[i/8]>>(i%8)&1 == 1 }

// Bools are the bits, one an entry.
func (m Mask) Bools() []bool {
	b := make([]bool, m.Len())
	for i := range b {
		b[i] = m.Keeps(i)
	}
	return b
}

// gates writes the mask as gates.
func (m Mask) gates(open float32) []float32 {
	v := make([]float32, m.Len())
	for i := range v {
		if m.Keeps(i) {
			v[i] = open
		}
	}
	return v
}

// newMask keeps the entries above 0.
func newMask(name string, shape []int, s []float32) Mask {
	m := Mask{Name: name, Shape: append([]int(nil), shape...), Bits: make([]byte, (len(s)+7)/8)}
	for i, v := range s {
		if v > 0 {
			m.Bits[i/8] |= 1 << (i % 8)
		}
	}
	return m
}

// Kept and Total count the entries of all masks.
func (t *Ticket) Kept() (n int) {
	for _, m := range t.Masks {
		n += m.Kept()
	}
	return n
}

// Total is the number of entries under masks.
func (t *Ticket) Total() (n int) {
	for _, m := range t.Masks {
		n += m.Len()
	}
	return n
}

// Density is the share of entries under masks that are kept.
func (t *Ticket) Density() float64 { return float64(t.Kept()) / float64(max(1, t.Total())) }

// Mask is that of the weight called name, or nil.
func (t *Ticket) Mask(name string) *Mask {
	for i, m := range t.Masks {
		if m.Name == name {
			return &t.Masks[i]
		}
	}
	return nil
}

// ticket makes the ticket of the masks as they are.
func (m *Method) ticket(r *trainer.Run, round int) (*Ticket, error) {
	t := &Ticket{Round: round, S0: m.plan.Config.S0, Factor: m.engine.open, Step: m.plan.Rewind, Values: m.rewound}
	for _, l := range m.engine.layers {
		s, err := read(r.Device(), l.soft.W)
		if err != nil {
			return nil, err
		}
		t.Masks = append(t.Masks, newMask(l.w.Name, l.w.W.Shape, s))
	}
	return t, nil
}

// The file of a ticket is a safetensors file: "mask.<weight>" holds packed
// bits, "value.<name>" values, and the metadata the rest as JSON.
const (
	ticketKey   = "espalier.ticket"
	maskPrefix  = "mask."
	valuePrefix = "value."
)

// Save writes the ticket to a file, whole or not at all.
func (t *Ticket) Save(path string) error {
	head, err := json.Marshal(t)
	if err != nil {
		return err
	}
	var all []checkpoint.Tensor
	for _, m := range t.Masks {
		all = append(all, checkpoint.Tensor{Name: maskPrefix + m.Name, DType: checkpoint.U8, Shape: []int{len(m.Bits)}, Data: m.Bits})
	}
	for _, v := range t.Values {
		all = append(all, checkpoint.Float32s(valuePrefix+v.Name, v.Shape, v.Values))
	}
	return checkpoint.Export(path, all, map[string]string{ticketKey: string(head)})
}

// ReadTicket reads what Save wrote.
func ReadTicket(path string) (*Ticket, error) {
	tensors, meta, err := checkpoint.Import(path)
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	head, ok := meta[ticketKey]
	if !ok {
		return nil, fmt.Errorf("%s is no ticket: it has no metadata %q", path, ticketKey)
	}
	t := &Ticket{}
	if err := json.Unmarshal([]byte(head), t); err != nil {
		return nil, fmt.Errorf("ticket %s: %w", path, err)
	}
	bits := map[string][]byte{}
	for _, x := range tensors {
		if name, ok := strings.CutPrefix(x.Name, maskPrefix); ok && x.DType == checkpoint.U8 {
			bits[name] = x.Data
			continue
		}
		name, ok := strings.CutPrefix(x.Name, valuePrefix)
		if !ok || x.DType != checkpoint.F32 {
			return nil, fmt.Errorf("ticket %s: tensor %s of type %s has no place in a ticket", path, x.Name, x.DType)
		}
		v := trainer.Kept{Name: name, Shape: x.Shape, Values: make([]float32, len(x.Data)/4)}
		if err := x.CopyFloat32s(v.Values); err != nil {
			return nil, fmt.Errorf("ticket %s: %w", path, err)
		}
		t.Values = append(t.Values, v)
	}
	for i := range t.Masks {
		t.Masks[i].Bits = bits[t.Masks[i].Name]
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("ticket %s: %w", path, err)
	}
	return t, nil
}

// maxEntries bounds the entries of a mask: far above any weight.
const maxEntries = 1 << 40

// check says what is wrong with a ticket from outside.
func (t *Ticket) check() error {
	seen := map[string]bool{}
	if !(t.Factor > 0 && t.Factor < 1e6) {
		return fmt.Errorf("open gates multiply by %v: want more than 0", t.Factor)
	}
	for _, m := range t.Masks {
		n := 1
		for _, d := range m.Shape {
			if d < 1 || d > maxEntries/n {
				return fmt.Errorf("mask of %s has shape %v", m.Name, m.Shape)
			}
			n *= d
		}
		switch {
		case seen[m.Name]:
			return fmt.Errorf("two masks of %s", m.Name)
		case len(m.Bits) != (n+7)/8:
			return fmt.Errorf("mask of %s has %d bytes, want %d for shape %v", m.Name, len(m.Bits), (n+7)/8, m.Shape)
		case n%8 != 0 && m.Bits[n/8]>>(n%8) != 0:
			return fmt.Errorf("mask of %s has bits behind its last entry", m.Name)
		}
		seen[m.Name] = true
	}
	if len(t.Masks) == 0 {
		return fmt.Errorf("no masks")
	}
	return nil
}
