package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective"
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

// process is a worker.
type process struct {
	rank   collective.Rank
	cmd    *exec.Cmd
	stderr *tail
	flush  []*lines
}

// exit is the end of a process; fault is nil if it ended well.
type exit struct {
	p     *process
	fault *WorkerError
}

func newProcess(s *Spec, rank int, group *os.File, out, err *sink) *process {
	p := &process{rank: collective.Rank(rank), cmd: exec.Command(s.Binary, s.Args...)}
	p.cmd.Dir = s.Dir
	p.cmd.Env = append(os.Environ(), s.Env...)
	p.cmd.Env = append(p.cmd.Env,
		envRank+"="+strconv.Itoa(rank),
		envWorld+"="+strconv.Itoa(s.World),
		envGroup+"="+strconv.Itoa(groupFD),
		envSpin+"="+spin(s.World).String())
	p.cmd.ExtraFiles = []*os.File{group}
	// A group of its own: the terminal's SIGINT comes to the parent alone.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second // for descendants that keep the pipes open
	p.connect(rank, out, err)
	return p
}

// connect gives rank 0 the sinks as they are and the others lines in them.
func (p *process) connect(rank int, out, err *sink) {
	if rank > 0 {
		prefix := fmt.Sprintf("[rank %d] ", rank)
		o, e := &lines{to: out, prefix: prefix}, &lines{to: err, prefix: prefix}
		p.flush = []*lines{o, e}
		p.stderr = &tail{to: e}
		p.cmd.Stdout, p.cmd.Stderr = o, p.stderr
		return
	}
	p.stderr = &tail{to: err}
	p.cmd.Stdout, p.cmd.Stderr = raw{out}, p.stderr
	if terminal(out.w) {
		p.cmd.Stdout = out.w
	}
	if terminal(err.w) {
		p.cmd.Stderr = err.w
	}
}

// wait returns when the process has ended and its output is written.
func (p *process) wait() exit {
	err := p.cmd.Wait()
	for _, l := range p.flush {
		l.flush()
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) && !errors.Is(err, exec.ErrWaitDelay) {
		return exit{p, &WorkerError{Rank: p.rank, Code: -1, Reason: err.Error(), Tail: p.stderr.lines()}}
	}
	return exit{p, failure(p.rank, p.cmd.ProcessState, p.stderr.lines())}
}

func (p *process) ask()  { p.cmd.Process.Signal(syscall.SIGTERM) }
func (p *process) kill() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// spin is how long workers poll for each other, by the processors of the
// whole machine: a worker that is bound to one does not see the others.
func spin(world int) time.Duration {
	switch cpus := runtime.NumCPU(); {
	case world > cpus:
		return -1
	case 2*world > cpus:
		return 50 * time.Microsecond
	}
	return 100 * time.Microsecond
}

// launcher starts processes from one thread that lives as long as they do:
// their death signal is tied to the thread that made them, and they inherit
// its processors.
type launcher struct {
	start chan func()
	done  chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{start: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		for f := range l.start {
			f()
		}
	}()
	return l
}

// launch starts the process on the launcher's thread.
func (l *launcher) launch(p *process, cpus []int) error {
	result := make(chan error)
	l.start <- func() {
		if err := bind(cpus); err != nil {
			result <- fmt.Errorf("worker %d: bind to processors %v: %w", p.rank, cpus, err)
			return
		}
		err := p.cmd.Start()
		if err != nil {
			err = fmt.Errorf("worker %d: start: %w", p.rank, err)
		}
		result <- err
	}
	return <-result
}

func (l *launcher) close() {
	close(l.start)
	<-l.done
}

// bind restricts this thread, and the children it makes, to processors.
func bind(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return unix.SchedSetaffinity(0, &set)
}
