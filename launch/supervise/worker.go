package supervise

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
)

// What a worker finds in its environment.
const (
	envRank  = "ESPALIER_RANK"
	envWorld = "ESPALIER_WORLD"
	envGroup = "ESPALIER_GROUP_FD"
	envSpin  = "ESPALIER_SPIN"
)

// groupFD is the first of exec.Cmd.ExtraFiles in the child.
const groupFD = 3

// Supervised reports whether this process is a worker of Run.
func Supervised() bool { return os.Getenv(envGroup) != "" }

// Worker joins the group that the parent made; a process that nobody
// supervises gets a group of its own. Comm.Info has rank and world. It must
// be called once. Options.Spin of 0 takes the parent's choice.
//
// A worker that is bound to processors (Spec.CPUs) starts with GOMAXPROCS of
// their number. It should set one more than its computing threads, see shm.
//
// A worker that is asked to stop gets SIGTERM, and exits with ExitStopped if
// its work was not done.
func Worker(o shm.Options) (collective.Comm, error) {
	if !Supervised() {
		return solo.New(collective.Gen{}), nil
	}
	fd, err := envInt(envGroup)
	if err != nil {
		return nil, err
	}
	rank, err := envInt(envRank)
	if err != nil {
		return nil, err
	}
	world, err := envInt(envWorld)
	if err != nil {
		return nil, err
	}
	if d, err := time.ParseDuration(os.Getenv(envSpin)); err == nil && o.Spin == 0 {
		o.Spin = d
	}
	comm, err := shm.Join(os.NewFile(uintptr(fd), "group"), collective.Rank(rank), o)
	if err != nil {
		return nil, fmt.Errorf("worker %d: join the group: %w", rank, err)
	}
	if got := comm.Info().World; got != world {
		return nil, fmt.Errorf("worker %d: %s=%d, but the group has %d ranks", rank, envWorld, world, got)
	}
	return comm, nil
}

func envInt(key string) (int, error) {
	v, err := strconv.Atoi(os.Getenv(key))
	if err != nil || v < 0 {
		return 0, fmt.Errorf("worker: environment variable %s is %q, want a number: was this process started by its parent?", key, os.Getenv(key))
	}
	return v, nil
}
