package trainer_test

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// optimizers are all optimizers, in all their modes.
func optimizers() (all []optim.Config) {
	for _, k := range optim.Kinds {
		all = append(all, optim.Defaults(k))
		for _, m := range []optim.Mode{optim.Paper, optim.Fresh} {
			if c := mode(k, m); c.Validate() == nil {
				all = append(all, c)
			}
		}
	}
	ams := optim.Defaults(optim.AdaBound)
	ams.AMS = true
	return append(all, ams)
}

// With every optimizer: a run on two and on four workers, and one that is
// stopped around the change of widths and goes on with other workers, end with
// the bits of one worker's run.
func TestEveryOptimizerKeepsThePromises(t *testing.T) {
	for _, o := range optimizers() {
		t.Run(fmt.Sprintf("%s %s ams %v", o.Kind, o.Mode, o.AMS), func(t *testing.T) {
			short := func(c *trainer.Config) {
				c.Optim = o
				c.Timeline = []trainer.Phase{{Steps: 10, Batch: 16}, {Steps: 4, Batch: 32}}
				c.EvalEvery, c.SaveEvery = 0, 5
			}
			want := run(t, alone(), 1, short)
			for _, world := range []int{2, 4} {
				if got := run(t, group(t, world), 1, short); got.Digest != want.Digest {
					t.Errorf("digest %v with %d workers, one has %v", got.Digest, world, want.Digest)
				}
			}
			stops := []uint64{8} // at the step at which the network widens
			if o.Kind == optim.AvaGrad {
				stops = append(stops, 9) // its normaliser has just met new entries
			}
			for _, at := range stops {
				dir := t.TempDir()
				run(t, alone(), 2, func(c *trainer.Config) {
					short(c)
					c.Dir, c.Methods = dir, append(c.Methods, stopAt(at))
				})
				got := run(t, group(t, 2), 1, func(c *trainer.Config) { short(c); c.Dir = dir })
				if got.Digest != want.Digest || !got.Done {
					t.Errorf("stopped after %d: digest %v, uninterrupted %v", at, got.Digest, want.Digest)
				}
			}
		})
	}
}

// group is a group of workers in this process.
func group(t *testing.T, world int) []collective.Comm {
	t.Helper()
	comms, err := shm.NewHeapGroup(world, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return comms
}
