package models

import (
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/graph"
)

var cifar = Spec{Height: 32, Width: 32, Channels: 3, Classes: 10}

func images(name string, edit ...func(*Spec)) Spec {
	s := cifar
	s.Name = name
	for _, f := range edit {
		f(&s)
	}
	return s
}

func imageNet(s *Spec) { s.Height, s.Width, s.Classes = 224, 224, 1000 }

// The published sizes. Variants: ResNet-N on CIFAR with option A shortcuts;
// VGG with batch norm, without bias in front of it, one linear classifier;
// MobileNet v1 and ResNet-18/50 as in torchvision and its CIFAR relatives;
// the LSTM has one bias a gate; the transformer does not tie its embedding.
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want int
	}{
		{images("resnet-20"), 269_722},
		{images("resnet-32"), 464_154},
		{images("resnet-56"), 853_018},
		{images("resnet-110"), 1_727_962},
		{images("resnet-18", imageNet), 11_689_512},
		{images("resnet-18"), 11_173_962},
		{images("resnet-50", imageNet), 25_557_032},
		{images("wrn-28-10"), 36_479_194},
		{images("swrn-22-1-2"), 175_538},
		{images("swrn-16-2-1"), 498_144},
		{images("swrn-28-2-3"), 887_056},
		{images("swrn-28-10-2"), 17_125_630},
		{images("swrn-28-14-2"), 33_537_790},
		{images("vgg-11"), 9_228_362},
		{images("vgg-16"), 14_724_042},
		{images("mobilenet"), 3_217_226},
		{images("mobilenet", imageNet), 4_231_976},
		{Spec{Name: "mlp", Height: 28, Width: 28, Channels: 1, Classes: 10}, 784*1024 + 1024 + 1024*1024 + 1024 + 10250},
		{Spec{Name: "lstm", Vocab: 10000, Context: 35}, 10000*200 + 2*(2*200*800+800) + 200*10000 + 10000},
		{Spec{Name: "transformer", Vocab: 65, Context: 128},
			65*128 + 128*128 + 4*(2*256+128*384+384+128*128+128+128*512+512+512*128+128) + 256 + 128*65 + 65},
	} {
		g, err := Trace(c.spec, graph.Config{Train: true}, 2)
		if err != nil {
			t.Errorf("%s: %v", c.spec.Name, err)
			continue
		}
		if got := g.ParamCount(); got != c.want {
			t.Errorf("%s %dx%d: %d parameters, want %d", c.spec.Name, c.spec.Height, c.spec.Width, got, c.want)
		}
	}
}

func TestWrongSpecsAreNamed(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{images("resnet-21"), "6n+2"},
		{images("vgg-13"), "11 or 16"},
		{images("wrn-27-10"), "6n+4"},
		{images("alexnet"), "not known"},
		{images("mlp", func(s *Spec) { s.Dropout = 1 }), "dropout"},
		{images("lstm"), "reads text"},
		{Spec{Name: "mlp", Vocab: 5, Context: 5}, "reads images"},
		{images("resnet-18", func(s *Spec) { s.Stem = "huge" }), "stem"},
	} {
		if err := c.spec.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want mention of %q", c.spec.Name, err, c.want)
		}
	}
}
