package supervise

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ErrStopped: the workers ended because they were asked to.
var ErrStopped = errors.New("stopped on request")

// ExitStopped is the status with which a worker says that it stopped on
// request before its work was done: 128 + SIGTERM, as shells have it.
const ExitStopped = 143

// WorkerError is the failure of a worker process.
type WorkerError struct {
	Worker int            // its number; of Run, its rank
	Code   int            // exit status, -1 if it died of a signal
	Signal syscall.Signal // 0 if it exited
	Reason string         // what it told the group before, may be empty
	Tail   []string       // the last lines of its standard error
}

func (e *WorkerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "worker %d: %s", e.Worker, e.Fate())
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if len(e.Tail) > 0 {
		fmt.Fprintf(&b, "; its last lines:\n\t%s", strings.Join(e.Tail, "\n\t"))
	}
	return b.String()
}

// Fate is how the process ended.
func (e *WorkerError) Fate() string {
	if e.Signal != 0 {
		return fmt.Sprintf("killed by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// failure is what a finished process says about itself, nil if all is well.
func failure(worker int, state *os.ProcessState, tail []string) *WorkerError {
	if state.Success() {
		return nil
	}
	e := &WorkerError{Worker: worker, Code: state.ExitCode(), Tail: tail}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	return e
}

// stopped reports whether the process ended as one does that was asked to.
func (e *WorkerError) stopped() bool {
	return e.Code == ExitStopped || e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGKILL
}
