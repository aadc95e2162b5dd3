package structured

import (
	"testing"

	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// networks are those that runs are made of: every kind of mask.
func networks() map[string]models.Spec {
	text := func(name string) models.Spec {
		s := spec(name)
		s.Vocab, s.Context = 0, 8
		return s
	}
	m := map[string]models.Spec{"mlp": {Name: "mlp", Hidden: []int{16, 12}}, "mlp with norm": {Name: "mlp", Hidden: []int{16, 12}, Norm: true},
		"resnet-14": {Name: "resnet-14", Base: 4}, "resnet-18": {Name: "resnet-18", Base: 4}, "lstm": text("lstm"), "transformer": text("transformer")}
	return m
}

// Invariant 7 and 4, without rounding: one, two and four ranks end with the
// same bits, under every kind of mask and of optimizer.
func TestSameBitsForAnyWorld(t *testing.T) {
	for name, spec := range networks() {
		for _, kind := range []optim.Kind{optim.SGD, optim.Adam} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				j := digits(spec)
				if kind == optim.Adam {
					j.optim = optim.Defaults(kind)
				}
				j.c.Streams = name == "resnet-18"
				want := j.run(t)
				for _, world := range []int{2, 4} {
					if got := j.run(t, group(t, world)...); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
						t.Errorf("%d ranks end with %v and loss %v, one with %v and %v", world, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
					}
				}
				if !(want.Flops < 0.9*want.FixedFlops) {
					t.Errorf("%v FLOPs, the full network has %v", want.Flops, want.FixedFlops)
				}
			})
		}
	}
}
