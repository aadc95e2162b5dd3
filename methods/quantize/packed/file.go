package packed

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// A file is a safetensors file. Its metadata have the model and the layers;
// of a layer called w, w.codes.P are the packed codes of the group of P levels
// (lowbit.Pack, K ordered by position in the window, then channel), w.levels
// the precision of every channel, w.scale and w.bias one number an output. All
// other tensors are parameters and running statistics under their own names.
// "digest" covers all tensors.

// Format is what the metadata of a file say it is.
const Format = "espalier-packed-1"

// described is a layer in the metadata.
type described struct {
	Name     string   `json:"name"`
	Side     int      `json:"side,omitempty"`
	Channels int      `json:"channels"`
	Outs     int      `json:"outs"`
	Norm     string   `json:"norm,omitempty"`
	Groups   [][2]int `json:"groups"` // levels, and the bits they are stored in
}

// Write writes the network to a file.
func (n *Network) Write(path string) error {
	tensors, meta, err := n.tensors()
	if err != nil {
		return err
	}
	return checkpoint.Export(path, tensors, meta)
}

// tensors are the file's contents.
func (n *Network) tensors() (all []checkpoint.Tensor, meta map[string]string, err error) {
	var layers []described
	for _, l := range n.Layers {
		d := described{Name: l.Name, Side: l.Side, Channels: l.Channels, Outs: l.Outs, Norm: l.Norm}
		levels := make([]byte, l.Channels)
		for _, g := range l.Groups {
			d.Groups = append(d.Groups, [2]int{g.Levels, g.Matrix.Bits})
			for _, c := range g.Channels {
				levels[c] = byte(g.Levels)
			}
			all = append(all, bytesOf(l.codes(g.Levels), g.Matrix.Packed()))
		}
		all = append(all, bytesOf(l.Name+".levels", levels),
			checkpoint.Float32s(l.Name+".scale", []int{l.Outs}, l.Scale), checkpoint.Float32s(l.Name+".bias", []int{l.Outs}, l.Bias))
		layers = append(layers, d)
	}
	for name, v := range n.Values {
		all = append(all, checkpoint.Float32s(name, []int{len(v)}, v))
	}
	slices.SortFunc(all, func(a, b checkpoint.Tensor) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	meta = map[string]string{"format": Format, "activations": strconv.Itoa(n.Activations), "step": strconv.FormatUint(n.Step, 10), "data": n.Data,
		"digest": checkpoint.Digest(all).String()}
	for key, v := range map[string]any{"model": n.Model, "sizes": n.Sizes, "layers": layers} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, nil, err
		}
		meta[key] = string(text)
	}
	return all, meta, nil
}

func bytesOf(name string, b []byte) checkpoint.Tensor {
	return checkpoint.Tensor{Name: name, DType: checkpoint.U8, Shape: []int{len(b)}, Data: b}
}

func (l *Layer) codes(levels int) string { return fmt.Sprintf("%s.codes.%d", l.Name, levels) }

// Read reads a file and checks all of it.
func Read(path string) (*Network, error) {
	tensors, meta, err := checkpoint.Import(path)
	if err != nil {
		return nil, fmt.Errorf("packed network: %w", err)
	}
	n, err := openNetwork(tensors, meta)
	if err != nil {
		return nil, fmt.Errorf("packed network %s: %w", path, err)
	}
	return n, nil
}

func openNetwork(tensors []checkpoint.Tensor, meta map[string]string) (*Network, error) {
	if f := meta["format"]; f != Format {
		return nil, fmt.Errorf("format %.40q, want %q: write one with espalier export --packed", f, Format)
	}
	slices.SortFunc(tensors, func(a, b checkpoint.Tensor) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	if d := checkpoint.Digest(tensors).String(); d != meta["digest"] {
		return nil, fmt.Errorf("the tensors have digest %.12s, the file says %.12s: it is damaged", d, meta["digest"])
	}
	n := &Network{Values: map[string][]float32{}, Data: meta["data"]}
	var layers []described
	for key, v := range map[string]any{"model": &n.Model, "sizes": &n.Sizes, "layers": &layers} {
		if err := json.Unmarshal([]byte(meta[key]), v); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
	}
	var err error
	if n.Activations, err = strconv.Atoi(meta["activations"]); err != nil || n.Activations != 4 && n.Activations != 8 {
		return nil, fmt.Errorf("metadata activations %.20q: want 4 or 8", meta["activations"])
	}
	if n.Step, err = strconv.ParseUint(meta["step"], 10, 64); err != nil {
		return nil, fmt.Errorf("metadata step: %w", err)
	}
	r := &reader{net: n, tensors: map[string]checkpoint.Tensor{}}
	for _, t := range tensors {
		r.tensors[t.Name] = t
	}
	if err := r.read(layers); err != nil {
		return nil, err
	}
	return n, nil
}

// reader takes the tensors of a file one by one.
type reader struct {
	net     *Network
	tensors map[string]checkpoint.Tensor
}

func (r *reader) read(layers []described) error {
	g, err := models.Trace(r.net.Model, graph.Config{Sizes: r.net.Sizes}, 1)
	if err != nil {
		return err
	}
	params := map[string]*graph.Param{}
	for _, p := range g.Params() {
		params[p.Name] = p
	}
	folded := map[string]bool{}
	uses := usesOf(g)
	for _, d := range layers {
		p := params[d.Name]
		if p == nil || r.net.Layer(d.Name) != nil {
			return fmt.Errorf("layer %.80q is none of model %s, or there twice", d.Name, r.net.Model.Name)
		}
		u := uses[d.Name]
		if u.other != nil {
			return fmt.Errorf("layer %s is used by %T, for which there is no packed kernel", d.Name, u.other)
		}
		if d.Norm != "" {
			if u.norm == nil || u.norm.Gamma.Name != d.Norm {
				return fmt.Errorf("layer %s: batch norm %.80q is not behind it", d.Name, d.Norm)
			}
		}
		u.absorb(folded, d.Norm != "")
		l, err := r.layer(d, p)
		if err != nil {
			return fmt.Errorf("layer %s: %w", d.Name, err)
		}
		r.net.Layers = append(r.net.Layers, l)
	}
	for _, p := range slices.Concat(g.Params(), g.States()) {
		if r.net.Layer(p.Name) != nil || folded[p.Name] {
			continue
		}
		v, err := r.floats(p.Name, p.W.Len())
		if err != nil {
			return err
		}
		r.net.Values[p.Name] = v
	}
	for name := range r.tensors {
		return fmt.Errorf("tensor %.80q belongs to nothing", name)
	}
	return nil
}

// layer reads one packed layer and compares it with the model's parameter.
func (r *reader) layer(d described, p *graph.Param) (*Layer, error) {
	l := &Layer{Name: d.Name, Side: d.Side, Channels: d.Channels, Outs: d.Outs, Norm: d.Norm, Activations: r.net.Activations}
	want := []int{d.Channels, d.Outs}
	if d.Side > 0 {
		want = []int{d.Side, d.Side, d.Channels, d.Outs}
	}
	if !slices.Equal(p.W.Shape, want) {
		return nil, fmt.Errorf("shape %v, the model has %v", want, p.W.Shape)
	}
	var err error
	if l.Scale, err = r.floats(l.Name+".scale", l.Outs); err != nil {
		return nil, err
	}
	if l.Bias, err = r.floats(l.Name+".bias", l.Outs); err != nil {
		return nil, err
	}
	levels, err := r.take(l.Name+".levels", checkpoint.U8, l.Channels)
	if err != nil {
		return nil, err
	}
	placed := 0
	for _, pair := range d.Groups {
		g, err := r.group(l, pair[0], pair[1], levels)
		if err != nil {
			return nil, err
		}
		placed += len(g.Channels)
		l.Groups = append(l.Groups, *g)
	}
	if placed != l.Channels {
		return nil, fmt.Errorf("%d of %d channels are in a group", placed, l.Channels)
	}
	return l, nil
}

func (r *reader) group(l *Layer, levels, bits int, of []byte) (*Group, error) {
	g := &Group{Levels: levels}
	for c, b := range of {
		if int(b) == levels {
			g.Channels = append(g.Channels, c)
		}
	}
	if err := lowbit.CheckWidth(bits); err != nil {
		return nil, err
	}
	if lowbit.CheckWidth(levels) != nil || bits != levels && bits != 8 || len(g.Channels) == 0 {
		return nil, fmt.Errorf("a group of %d levels in %d bits with %d channels", levels, bits, len(g.Channels))
	}
	k := l.taps() * len(g.Channels)
	packed, err := r.take(l.codes(levels), checkpoint.U8, lowbit.PackedBytes(bits, l.Outs, k))
	if err != nil {
		return nil, err
	}
	g.Matrix, err = lowbit.OpenMatrix(bits, l.Outs, k, l.Activations, packed)
	return g, err
}

// take removes a tensor of n elements from what is left.
func (r *reader) take(name string, d checkpoint.DType, n int) ([]byte, error) {
	t, ok := r.tensors[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %s", name)
	}
	if t.DType != d || len(t.Data) != n*d.Size() {
		return nil, fmt.Errorf("tensor %s is %s with %d bytes, want %s with %d", name, t.DType, len(t.Data), d, n*d.Size())
	}
	delete(r.tensors, name)
	return t.Data, nil
}

func (r *reader) floats(name string, n int) ([]float32, error) {
	data, err := r.take(name, checkpoint.F32, n)
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	return v, checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: []int{n}, Data: data}.CopyFloat32s(v)
}
