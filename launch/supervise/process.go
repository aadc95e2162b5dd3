package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a worker process to be started.
type Command struct {
	Worker int // its number, for messages
	Binary string
	Args   []string // without the program's name
	Env    []string // "KEY=value", added to the parent's environment
	Dir    string
	Files  []*os.File // 3, 4, ... in the child
	CPUs   []int      // what it is bound to, nil for nothing

	// Stdout and Stderr take its output. Raw passes it on as it is (a
	// terminal is handed over itself), else it comes line by line behind Prefix.
	Stdout, Stderr io.Writer
	Raw            bool
	Prefix         string

	// Outlives lets the process live on when its parent dies.
	Outlives bool
}

// Process is a worker that was started. Its methods may be called from any
// goroutine.
type Process struct {
	worker int
	cmd    *exec.Cmd
	stderr *tail
	flush  []*lines
}

func newProcess(c Command) *Process {
	p := &Process{worker: c.Worker, cmd: exec.Command(c.Binary, c.Args...)}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.ExtraFiles = c.Files
	// A group of its own: the terminal's SIGINT comes to the parent alone.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !c.Outlives {
		p.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	p.cmd.WaitDelay = time.Second // for descendants that keep the pipes open
	p.connect(c)
	return p
}

func (p *Process) connect(c Command) {
	if !c.Raw {
		o, e := &lines{to: c.Stdout, prefix: c.Prefix}, &lines{to: c.Stderr, prefix: c.Prefix}
		p.flush = []*lines{o, e}
		p.stderr = &tail{to: e}
		p.cmd.Stdout, p.cmd.Stderr = o, p.stderr
		return
	}
	p.stderr = &tail{to: c.Stderr}
	p.cmd.Stdout, p.cmd.Stderr = raw{c.Stdout}, p.stderr
	if t := terminal(c.Stdout); t != nil {
		p.cmd.Stdout = t
	}
	if t := terminal(c.Stderr); t != nil {
		p.cmd.Stderr = t
	}
}

// Wait returns when the process has ended and its output is written: nil if
// it ended well. It must be called once.
func (p *Process) Wait() *WorkerError {
	err := p.cmd.Wait()
	for _, l := range p.flush {
		l.flush()
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) && !errors.Is(err, exec.ErrWaitDelay) {
		return &WorkerError{Worker: p.worker, Code: -1, Reason: err.Error(), Tail: p.stderr.lines()}
	}
	return failure(p.worker, p.cmd.ProcessState, p.stderr.lines())
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ask sends SIGTERM.
func (p *Process) Ask() { p.cmd.Process.Signal(syscall.SIGTERM) }

// Kill ends the process and its children on the spot.
func (p *Process) Kill() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// Spin is how long the workers of one machine poll for each other, by the
// processors of the whole machine: a worker that is bound to one does not see the others.
func Spin(world int) time.Duration {
	switch cpus := runtime.NumCPU(); {
	case world > cpus:
		return -1
	case 2*world > cpus:
		return 50 * time.Microsecond
	}
	return 100 * time.Microsecond
}

// Launcher starts processes from one thread that lives as long as they do:
// their death signal is tied to the thread that made them, and they inherit
// its processors.
type Launcher struct {
	start chan func()
	done  chan struct{}
	mine  unix.CPUSet
}

// NewLauncher starts the thread. Close it when no process is left.
func NewLauncher() *Launcher {
	l := &Launcher{start: make(chan func()), done: make(chan struct{})}
	unix.SchedGetaffinity(0, &l.mine)
	go func() {
		defer close(l.done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		for f := range l.start {
			f()
		}
	}()
	return l
}

// Start starts a process on the launcher's thread.
func (l *Launcher) Start(c Command) (*Process, error) {
	p, result := newProcess(c), make(chan error)
	l.start <- func() {
		if err := l.bind(c.CPUs); err != nil {
			result <- fmt.Errorf("worker %d: bind to processors %v: %w", c.Worker, c.CPUs, err)
			return
		}
		err := p.cmd.Start()
		if err != nil {
			err = fmt.Errorf("worker %d: start: %w", c.Worker, err)
		}
		result <- err
	}
	if err := <-result; err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the thread.
func (l *Launcher) Close() {
	close(l.start)
	<-l.done
}

// bind restricts this thread, and the children it makes, to processors; none
// stands for all that the parent has.
func (l *Launcher) bind(cpus []int) error {
	set := l.mine
	if len(cpus) > 0 {
		set = unix.CPUSet{}
		for _, cpu := range cpus {
			set.Set(cpu)
		}
	}
	return unix.SchedSetaffinity(0, &set)
}
