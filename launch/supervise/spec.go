package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// Spec says what to run.
type Spec struct {
	Binary string   // empty: this program
	Args   []string // without the program's name
	Env    []string // "KEY=value", added to the parent's environment
	Dir    string   // working directory, empty: the parent's

	World int            // number of workers, 1 to shm.MaxWorld
	Gen   collective.Gen // identity of the group

	// Stdout and Stderr take the workers' output; nil means the parent's.
	Stdout, Stderr io.Writer

	// Grace is how long workers may take to end by themselves, once asked to
	// or once one of them failed. 0 means 10 seconds.
	Grace time.Duration

	// CPUs are the processors that each rank is bound to, see SplitCPUs; nil
	// leaves it to the system.
	CPUs [][]int

	Log *zap.Logger // nil: silent
}

const defaultGrace = 10 * time.Second

// withDefaults returns the spec with what was left open, or all that is wrong.
func (s Spec) withDefaults() (Spec, error) {
	var errs []error
	if s.World < 1 || s.World > shm.MaxWorld {
		errs = append(errs, fmt.Errorf("%d workers, want 1 to %d", s.World, shm.MaxWorld))
	}
	if s.CPUs != nil && len(s.CPUs) != s.World {
		errs = append(errs, fmt.Errorf("processors for %d ranks, want %d", len(s.CPUs), s.World))
	}
	if s.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			errs = append(errs, fmt.Errorf("find this program: %w", err))
		}
		s.Binary = self
	}
	if s.Stdout == nil {
		s.Stdout = os.Stdout
	}
	if s.Stderr == nil {
		s.Stderr = os.Stderr
	}
	if s.Grace <= 0 {
		s.Grace = defaultGrace
	}
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("supervise: %w", err)
	}
	return s, nil
}

// SplitCPUs deals the processors this process may use out to ranks, in equal
// runs of neighbours. It returns nil, binding nobody, when there are fewer
// processors than ranks.
func SplitCPUs(world int) [][]int {
	var set unix.CPUSet
	if world < 1 || unix.SchedGetaffinity(0, &set) != nil || set.Count() < world {
		return nil
	}
	var all []int
	for cpu := 0; len(all) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	share := len(all) / world
	split := make([][]int, world)
	for r := range split {
		split[r] = all[r*share : (r+1)*share]
	}
	return split
}
