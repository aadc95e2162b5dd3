package sparsify

import "github.com/espalier-ml/espalier/trainer"

// LayerDensity is what a mask leaves of one weight.
type LayerDensity struct {
	Name        string
	Kept, Total int
}

// Density is the share that is kept.
func (d LayerDensity) Density() float64 { return float64(d.Kept) / float64(max(1, d.Total)) }

// Density reports every weight with gates, in the order of the network, by
// the hard mask of its soft-mask parameters. Gates that are merely small do
// not count as closed, closed ones whose σ has not underflowed do.
func (m *Method) Density(r *trainer.Run) ([]LayerDensity, error) {
	masks, err := m.Masks(r)
	if err != nil {
		return nil, err
	}
	return densities(masks), nil
}

// measure reports the share of gated weights that the network has kept.
func (m *Method) measure(r *trainer.Run) error {
	layers, err := m.Density(r)
	if err != nil {
		return err
	}
	kept, total := 0, 0
	for _, l := range layers {
		kept, total = kept+l.Kept, total+l.Total
	}
	if total > 0 {
		r.Measure("weights kept", float64(kept)/float64(total))
	}
	return nil
}

// Masks are the hard masks as they are now, in the order of the network.
func (m *Method) Masks(r *trainer.Run) ([]Mask, error) {
	var all []Mask
	for _, l := range layers(r.Graph()) {
		s, err := read(r.Device(), l.soft.W)
		if err != nil {
			return nil, err
		}
		all = append(all, newMask(l.w.Name, l.w.W.Shape, s))
	}
	return all, nil
}

// Mask says which entries of the weight called name are kept, nil when it has
// no gates.
func (m *Method) Mask(r *trainer.Run, name string) ([]bool, error) {
	masks, err := m.Masks(r)
	if err != nil {
		return nil, err
	}
	for _, x := range masks {
		if x.Name == name {
			return x.Bools(), nil
		}
	}
	return nil, nil
}

// Layers reports every mask of the ticket.
func (t *Ticket) Layers() []LayerDensity { return densities(t.Masks) }

func densities(masks []Mask) []LayerDensity {
	all := make([]LayerDensity, len(masks))
	for i, m := range masks {
		all[i] = LayerDensity{Name: m.Name, Kept: m.Kept(), Total: m.Len()}
	}
	return all
}
