package field

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Node is an agent with its workers. Its methods may be called from any
// goroutine.
type Node struct {
	ID   string // a, b, c, ...
	Host string // its address
	Dir  string // run folder; output of start k is beside it in ID-k.out and ID-k.err

	field           *Field
	namespace, link string

	mu     sync.Mutex
	cmd    *exec.Cmd
	starts int
	ended  chan struct{}
	err    error
}

// Start runs the command with these arguments on the node. A node that runs
// already is an error.
func (n *Node) Start(args ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return fmt.Errorf("node %s runs already", n.ID)
	}
	out, err := n.create("out")
	if err != nil {
		return err
	}
	defer out.Close()
	errOut, err := n.create("err")
	if err != nil {
		return err
	}
	defer errOut.Close()
	n.starts++
	c := exec.Command(n.field.cfg.Binary, args...)
	if n.namespace != "" {
		c = exec.Command("ip", append([]string{"netns", "exec", n.namespace, n.field.cfg.Binary}, args...)...)
	}
	c.Stdout, c.Stderr = out, errOut
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return fmt.Errorf("node %s: %w", n.ID, err)
	}
	ended := make(chan struct{})
	n.cmd, n.ended = c, ended
	go func() {
		err := c.Wait()
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		close(ended)
	}()
	return nil
}

func (n *Node) create(kind string) (*os.File, error) {
	if err := os.MkdirAll(n.field.cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(n.Output(kind, n.starts+1))
}

// Output is the file of what the node's k-th start wrote: kind out or err.
func (n *Node) Output(kind string, k int) string {
	return filepath.Join(n.field.cfg.Dir, fmt.Sprintf("%s-%d.%s", n.ID, k, kind))
}

// Starts is how often the node was started.
func (n *Node) Starts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.starts
}

// Running reports whether the agent lives.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running()
}

func (n *Node) running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// ErrRunning: the node did not end in time.
var ErrRunning = errors.New("still running")

// Wait returns how the agent ended: nil for status 0, an *exec.ExitError for
// another, ErrRunning if it did not end within the time.
func (n *Node) Wait(limit time.Duration) error {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	if ended == nil {
		return fmt.Errorf("node %s was never started", n.ID)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		return fmt.Errorf("node %s: %w after %v", n.ID, ErrRunning, limit)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Signal sends a signal to the agent; ip netns exec is replaced by it.
func (n *Node) Signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return fmt.Errorf("node %s does not run", n.ID)
	}
	return syscall.Kill(n.cmd.Process.Pid, s)
}

// Workers are the pids of the agent's children, in the order of their start.
func (n *Node) Workers() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return nil
	}
	return children(n.cmd.Process.Pid)
}

// Everyone is the agent with its workers: a machine that stands still.
func (n *Node) Everyone() []int {
	all := n.Workers()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		all = append(all, n.cmd.Process.Pid)
	}
	return all
}

// children lists the processes that a process has started.
func children(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(b)) {
			if p, err := strconv.Atoi(f); err == nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// Cut takes the node off the network, or brings it back.
func (n *Node) Cut(off bool) error {
	if n.link == "" {
		return fmt.Errorf("node %s has no network of its own", n.ID)
	}
	state := "up"
	if off {
		state = "down"
	}
	return ip("link", "set", n.link, state)
}

// Kill ends agent and workers at once, and waits for the agent's end.
func (n *Node) Kill() {
	for _, pid := range n.Everyone() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if n.Running() {
		n.Wait(10 * time.Second)
	}
}
