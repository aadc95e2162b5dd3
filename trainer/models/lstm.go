package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// lstm is a word or character language model: embedding, one or more LSTM
// layers (Spec.Layers, 2 by default, of Spec.Dim units, 200 by default), a
// linear map to the vocabulary (Zaremba et al., arXiv 1409.2329; one bias a
// gate). Every sequence starts from a zero state. tokens [B,T].
func lstm(g *graph.Graph, s Spec, tokens *graph.Value) *graph.Value {
	dim := or(s.Dim, 200)
	root := nn.At(g, "")
	h := nn.Embedding(root.In("embedding"), tokens, s.Vocab, g.Dim("embedding", dim).Axis(), 0.1) // [B,T,D]
	for i := range or(s.Layers, 2) {
		name := fmt.Sprintf("lstm%d", i)
		h = nn.LSTM(root.In(name), h.Dropout(s.Dropout), g.Dim(name, dim))
	}
	return nn.Classifier(root.In("out"), h.Dropout(s.Dropout), s.Vocab)
}
