// Package models holds complete networks, one readable file each. A model is
// written once, for one device, at full size; its widths are Dims, and the
// same code traced at smaller sizes gives the young network of a growing run.
//
// Sizes equal the published ones; the tests assert the parameter counts.
package models

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Spec chooses a model and its sizes. Zero values take the model's defaults.
type Spec struct {
	Name string // resnet-20, wrn-28-10, vgg-11, mobilenet, mlp, lstm, transformer, …

	// Images. Height, Width, Channels and Classes come from the data.
	Height, Width, Channels, Classes int
	Base                             int  // width of the first stage (resnet-N)
	Stem                             Stem // of resnet-18 and resnet-50, mobilenet

	// Sequences. Vocab comes from the data.
	Vocab, Context int
	Layers, Dim    int
	Heads, Inner   int // heads and feed-forward width of a transformer

	Hidden  []int   // hidden widths of mlp
	Norm    bool    // batch norm in mlp
	Dropout float32 // where the model has dropout
	Smooth  float32 // label smoothing
}

// Stem is how a network for photographs begins.
type Stem string

// Stems. Auto is Small for images up to 64 pixels wide.
const (
	StemAuto  Stem = ""
	StemSmall Stem = "small" // 3×3, stride 1
	StemLarge Stem = "large" // 7×7 or 3×3 of stride 2, pooling
)

func (s Spec) small() bool {
	return s.Stem == StemSmall || s.Stem == StemAuto && s.Width <= 64
}

// Sequence reports whether the model reads tokens rather than images.
func (s Spec) Sequence() bool { return s.Name == "lstm" || s.Name == "transformer" }

// Cells reports whether the model labels every pixel rather than the image.
func (s Spec) Cells() bool {
	return strings.HasPrefix(s.Name, "gridnet-") || strings.HasPrefix(s.Name, "sgridnet-")
}

// targets is the shape of y for n images.
func (s Spec) targets(n int) []int {
	if s.Cells() {
		return []int{n, s.Height, s.Width}
	}
	return []int{n}
}

// builder maps x to logits.
type builder func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value

// family recognises names and makes builders.
type family struct {
	pattern *regexp.Regexp
	example string
	build   func(args []int) (builder, error)
}

var families = []family{
	{regexp.MustCompile(`^gridnet-(\d+)$`), "gridnet-20", gridNet},
	{regexp.MustCompile(`^sgridnet-(\d+)-(\d+)$`), "sgridnet-20-20", gridNet},
	{regexp.MustCompile(`^mlp$`), "mlp", func([]int) (builder, error) { return mlp, nil }},
	{regexp.MustCompile(`^resnet-(\d+)$`), "resnet-20", resnet},
	{regexp.MustCompile(`^wrn-(\d+)-(\d+)$`), "wrn-28-10", wideResNet},
	{regexp.MustCompile(`^swrn-(\d+)-(\d+)-(\d+)$`), "swrn-28-10-2", sharedResNet},
	{regexp.MustCompile(`^vgg-(\d+)$`), "vgg-11", vgg},
	{regexp.MustCompile(`^mobilenet$`), "mobilenet", func([]int) (builder, error) { return mobileNet, nil }},
	{regexp.MustCompile(`^lstm$`), "lstm", func([]int) (builder, error) { return lstm, nil }},
	{regexp.MustCompile(`^transformer$`), "transformer", func([]int) (builder, error) { return transformer, nil }},
}

// Names lists an example of every family, for messages.
func Names() []string {
	var n []string
	for _, f := range families {
		n = append(n, f.example)
	}
	return n
}

func find(name string) (builder, error) {
	for _, f := range families {
		m := f.pattern.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		var args []int
		for _, a := range m[1:] {
			n, err := strconv.Atoi(a)
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", name, err)
			}
			args = append(args, n)
		}
		return f.build(args)
	}
	return nil, fmt.Errorf("model %q is not known; there are %s", name, strings.Join(Names(), ", "))
}

// Check says what is wrong with a spec.
func (s Spec) Check() error {
	if _, err := find(s.Name); err != nil {
		return err
	}
	for _, n := range append([]int{s.Height, s.Width, s.Channels, s.Classes, s.Base, s.Vocab, s.Context, s.Layers, s.Dim, s.Heads, s.Inner}, s.Hidden...) {
		if n < 0 || n > 1<<20 {
			return fmt.Errorf("model %s: size %d: want 0 to %d", s.Name, n, 1<<20)
		}
	}
	switch {
	case s.Dropout < 0 || s.Dropout >= 1:
		return fmt.Errorf("model %s: dropout %v: want 0 up to, not including, 1", s.Name, s.Dropout)
	case s.Smooth < 0 || s.Smooth >= 1:
		return fmt.Errorf("model %s: label smoothing %v: want 0 up to, not including, 1", s.Name, s.Smooth)
	case !slices.Contains([]Stem{StemAuto, StemSmall, StemLarge}, s.Stem):
		return fmt.Errorf("model %s: stem %q: want small or large", s.Name, s.Stem)
	case s.Sequence() && (s.Vocab == 0 || s.Context == 0):
		return fmt.Errorf("model %s reads text, the data has none", s.Name)
	case !s.Sequence() && (s.Height == 0 || s.Width == 0 || s.Channels == 0 || s.Classes == 0):
		return fmt.Errorf("model %s reads images, the data has none", s.Name)
	}
	return nil
}

// Trace traces the model for a batch of n images or sequences: inputs "x" and
// "y", the loss, and in training the gradient.
//
// Images: x [n,H,W,C] f32, y [n] i32, or [n,H,W] if the model labels cells. Tokens: x and y [n,Context] i32.
func Trace(s Spec, cfg graph.Config, n int) (*graph.Graph, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	build, err := find(s.Name)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("model %s: batch of %d", s.Name, n)
	}
	g, err := graph.Trace(cfg, func(g *graph.Graph) {
		var x, y *graph.Value
		if s.Sequence() {
			x = g.Input("x", kernels.I32, n, s.Context)
			y = g.Input("y", kernels.I32, n, s.Context)
		} else {
			x = g.Input("x", kernels.F32, n, s.Height, s.Width, s.Channels)
			y = g.Input("y", kernels.I32, s.targets(n)...)
		}
		g.Loss(build(g, s, x), y, lossSmooth(s, cfg))
		if cfg.Train {
			g.Backward()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.Name, err)
	}
	return g, nil
}

// lossSmooth smooths labels in training only: evaluation reports the plain
// cross-entropy.
func lossSmooth(s Spec, cfg graph.Config) float32 {
	if cfg.Train {
		return s.Smooth
	}
	return 0
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}
