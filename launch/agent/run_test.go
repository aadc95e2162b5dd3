package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// buffer is an io.Writer for two goroutines.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// trial is a run of toys under an agent.
type trial struct {
	t      *testing.T
	finish string
	seen   chan *metrics.Event
	err    chan error
	cancel context.CancelFunc
	errs   *buffer
	lone   *lone
	last   *metrics.Event
}

func try(t *testing.T, role string, workers int, change func(*Config)) *trial {
	t.Helper()
	r := &trial{t: t, finish: filepath.Join(t.TempDir(), "finish"), seen: make(chan *metrics.Event, 1<<16), err: make(chan error, 1), errs: &buffer{}, lone: newLone()}
	c := Config{Node: "a", Run: t.Name(), Session: r.lone, Workers: workers,
		Env:    []string{roleKey + "=" + role, finishKey + "=" + r.finish, "GORACE=atexit_sleep_ms=0"},
		Record: func(rec metrics.Record) { r.seen <- rec.(*metrics.Event) },
		Log:    zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(r.errs), zap.DebugLevel)),
		Stdout: r.errs, Stderr: r.errs, Backoff: time.Millisecond, Grace: 20 * time.Second}
	if change != nil {
		change(&c)
	}
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if strings.Contains(r.errs.text(), "did not end in time") {
			t.Errorf("workers had to be killed:\n%s", r.errs.text())
		}
	})
	go func() { defer close(r.seen); r.err <- a.Run(ctx) }()
	return r
}

// until waits for a step that is as wanted, or the end.
func (r *trial) until(what string, ok func(*metrics.Event) bool) *metrics.Event {
	r.t.Helper()
	for e := range r.seen {
		if e.Text != strconv.FormatInt(want(e.Step), 10) {
			r.t.Fatalf("step %d: sum %s, want %d", e.Step, e.Text, want(e.Step))
		}
		if r.last != nil && e.Step > r.last.Step+2 { // one may have died with its worker
			r.t.Fatalf("step %d follows %d", e.Step, r.last.Step)
		}
		r.last = e
		if ok(e) {
			return e
		}
	}
	r.t.Fatalf("never %s: %v\n%s", what, <-r.err, r.errs.text())
	return nil
}

func (r *trial) world(n int) *metrics.Event {
	r.t.Helper()
	return r.until("a world of "+strconv.Itoa(n), func(e *metrics.Event) bool { return e.Batch == n })
}

// complete lets the run end and checks its result.
func (r *trial) complete() {
	r.t.Helper()
	if err := os.WriteFile(r.finish, nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
	for e := range r.seen {
		if e.Text != strconv.FormatInt(want(e.Step), 10) {
			r.t.Fatalf("step %d: sum %s, want %d", e.Step, e.Text, want(e.Step))
		}
	}
	if err := <-r.err; err != nil {
		r.t.Fatalf("%v\n%s", err, r.errs.text())
	}
}

func TestComplete(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		r := try(t, "toy", workers, nil)
		r.world(workers)
		r.complete()
	}
}

// A worker that is killed or stopped is replaced; the others go on in place.
func TestWorkerIsReplaced(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		first  bool
	}{
		{"killed, the first", syscall.SIGKILL, true},
		{"killed", syscall.SIGKILL, false},
		{"stopped", syscall.SIGSTOP, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := try(t, "toy", 2, func(c *Config) { c.Silence = 300 * time.Millisecond })
			e := r.world(2)
			victim := int(e.Params)
			if !c.first {
				victim = other(t, victim)
			}
			if err := syscall.Kill(victim, c.signal); err != nil {
				t.Fatal(err)
			}
			r.world(1)
			r.world(2)
			r.complete()
		})
	}
}

// Workers that are killed all at once go on from the memory of the node.
func TestAllWorkersAreKilled(t *testing.T) {
	r := try(t, "remember", 2, nil)
	first := r.world(2)
	r.until("further", func(e *metrics.Event) bool { return e.Step > first.Step+20 })
	pids := []int{int(first.Params), other(t, int(first.Params))}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	e := r.until("by others", func(e *metrics.Event) bool { return !slices.Contains(pids, int(e.Params)) })
	if e.Step <= first.Step+20 {
		t.Errorf("step %d is taken again, after %d", e.Step, first.Step+20)
	}
	r.complete()
}

// other finds another child of this process.
func other(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(field); err == nil && n != pid {
				return n
			}
		}
	}
	t.Skip("the kernel does not list children")
	return 0
}

// Who holds the others up is named in the log, and the run goes on.
func TestVerdict(t *testing.T) {
	for _, c := range []struct{ role, want string }{
		{"hang", `"verdict":"rank 1 never arrived: allreduce seq 5 bucket 0, 32 bytes","fault":"never arrived","ranks":[1],"op":"allreduce","seq":5,"bucket":0`},
		{"stray", `"verdict":"rank 1 issued barrier seq 5 bucket 2, 0 bytes, others allreduce seq 5 bucket 0, 32 bytes","fault":"different op","ranks":[1],"op":"allreduce","seq":5,"bucket":0`},
	} {
		r := try(t, c.role, 2, func(c *Config) { c.Settle = 300 * time.Millisecond })
		r.until("formed anew", func(e *metrics.Event) bool { return e.Step > 20 && e.Batch == 2 })
		r.complete()
		if !strings.Contains(r.errs.text(), c.want) {
			t.Errorf("%s: the log does not say %s:\n%s", c.role, c.want, r.errs.text())
		}
	}
}

func TestWorkerThatKeepsDying(t *testing.T) {
	r := try(t, "die", 1, func(c *Config) { c.Deaths = 3 })
	err := <-r.err
	var dying *DyingError
	if !errors.As(err, &dying) || dying.Times != 3 || !strings.Contains(err.Error(), "worker 0: killed by signal 9") || !strings.Contains(err.Error(), "no memory left") {
		t.Errorf("error %v, want one of 3 deaths with the last lines", err)
	}
}

func TestStop(t *testing.T) {
	r := try(t, "toy", 2, nil)
	r.world(2)
	r.cancel()
	for range r.seen {
	}
	if err := <-r.err; !errors.Is(err, ErrStopped) {
		t.Errorf("%v\n%s", err, r.errs.text())
	}
}

// Workers whose agent is killed come to an end by themselves. They hold a pipe
// open; its end of file is theirs.
func TestOrphansEnd(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("named pipes: %v", err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleKey+"=agent", fifoKey+"="+fifo)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	alive, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	lines := bufio.NewReader(alive)
	for range 2 {
		if line, err := lines.ReadString('\n'); err != nil || line != "alive\n" {
			t.Fatalf("worker says %q, %v", line, err)
		}
	}
	parent.Process.Kill()
	parent.Wait()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the agent's death: %q, %v", rest, err)
	}
}

func TestTransport(t *testing.T) {
	nodes := func(workers ...int) *cluster.Generation {
		g := &cluster.Generation{N: 1}
		for _, n := range workers {
			g.Nodes = append(g.Nodes, cluster.Node{Workers: make([]string, n)})
		}
		return g
	}
	for _, c := range []struct {
		name string
		g    *cluster.Generation
		want string
	}{
		{"one", nodes(1), bySolo},
		{"one node", nodes(3), byShm},
		{"single workers", nodes(1, 1, 1), byTCP},
		{"equal nodes", nodes(4, 4), byHier},
		{"three equal nodes", nodes(2, 2, 2), byTCP},
		{"equal nodes of three", nodes(3, 3), byTCP},
		{"unequal nodes", nodes(2, 1), byTCP},
	} {
		if got := transport(c.g); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSeatIsChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     seat
		group bool
		good  bool
	}{
		{"shared memory", seat{Transport: byShm, Rank: 1, Peers: make([]string, 2), Local: 1, Locals: 2}, true, true},
		{"without its memory", seat{Transport: byShm, Rank: 1, Peers: make([]string, 2), Local: 1, Locals: 2}, false, false},
		{"rank beyond the world", seat{Transport: byTCP, Rank: 2, Peers: make([]string, 2), Locals: 1}, false, false},
		{"hosts of unequal size", seat{Transport: byHier, Rank: 1, Peers: make([]string, 3), Locals: 2}, true, false},
		{"unknown transport", seat{Transport: "ipoac", Peers: make([]string, 2), Locals: 1}, false, false},
	} {
		if err := c.s.check(c.group); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
