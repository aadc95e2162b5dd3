package models

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// transformer is a decoder-only language model with pre-norm blocks, GELU and
// learned positions (Radford et al., 2019). What grows are the heads and the
// feed-forward width of each layer; the residual stream of width Spec.Dim is
// fixed. Defaults: 4 layers, width 128, heads of 32, feed-forward 4·Dim.
// tokens [B,T].
func transformer(g *graph.Graph, s Spec, tokens *graph.Value) *graph.Value {
	d, layers := or(s.Dim, 128), or(s.Layers, 4)
	heads := or(s.Heads, max(1, d/32))
	stream := graph.Fixed(d)
	branch := float32(1 / math.Sqrt(float64(2*layers))) // keeps the stream's variance at 1
	root := nn.At(g, "")

	x := nn.Embedding(root.In("wte"), tokens, s.Vocab, stream, 0.02)
	x = nn.Positions(root.In("wpe"), x, 0.02).Dropout(s.Dropout)
	for i := range layers {
		name := fmt.Sprintf("h.%d", i)
		l := root.In(name)
		a := nn.LayerNorm(l.In("ln1"), x)
		a = nn.SelfAttention(l.In("attn"), a, g.Dim(name+".heads", heads), d/heads, true, branch)
		x = x.Add(a.Dropout(s.Dropout))
		f := nn.LayerNorm(l.In("ln2"), x)
		f = nn.Linear(l.In("mlp.fc"), f, g.Dim(name+".inner", or(s.Inner, 4*d)).Axis(), 1).Act(kernels.GELU)
		f = nn.BranchEnd(l.In("mlp.proj"), f, stream, branch)
		x = x.Add(f.Dropout(s.Dropout))
	}
	x = nn.LayerNorm(root.In("ln"), x)
	return nn.Classifier(root.In("head"), x, s.Vocab)
}
