package supervise

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective/shm"
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

func run(ctx context.Context, role string, world int, change func(*Spec)) (stdout, stderr string, err error) {
	var out, errs buffer
	s := Spec{Env: []string{roleKey + "=" + role, "GORACE=atexit_sleep_ms=0"}, World: world, Stdout: &out, Stderr: &errs, Grace: time.Minute}
	if change != nil {
		change(&s)
	}
	err = Run(ctx, s)
	return out.String(), errs.String(), err
}

func TestWorkersReduceTogether(t *testing.T) {
	for _, world := range []int{1, 2, 4} {
		out, errs, err := run(context.Background(), "sum", world, nil)
		if err != nil || errs != "" {
			t.Fatalf("world %d: %v\n%s", world, err, errs)
		}
		n := world * (world - 1) / 2
		want := []string{strconv.Itoa(world), strconv.Itoa(n), strconv.Itoa(n), strconv.Itoa(n + 1000*world)}
		if got := strings.Fields(out); len(got) != 5 || !slices.Equal(got[:4], want) {
			t.Errorf("world %d: got %q, want %q", world, got, want)
		}
	}
}

// The same bits whatever the number of worker processes.
func TestSameBitsForEveryWorld(t *testing.T) {
	want, errs, err := run(context.Background(), "shards", 1, nil)
	if err != nil || len(want) != 17 {
		t.Fatalf("digest %q, %v\n%s", want, err, errs)
	}
	for _, world := range []int{2, 4, 8} {
		if got, errs, err := run(context.Background(), "shards", world, nil); got != want || err != nil {
			t.Errorf("world %d: digest %q, %v, want %q\n%s", world, got, err, want, errs)
		}
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		role, what string
		world      int
		want       WorkerError
	}{
		{"fail", "exits with a status", 3, WorkerError{Worker: 1, Code: 3, Tail: []string{"no such layer: conv9"}}},
		{"kill", "is killed", 3, WorkerError{Worker: 1, Code: -1, Signal: syscall.SIGKILL}},
		{"abort", "aborts the group", 3, WorkerError{Worker: 1, Code: 5, Reason: "the loss is not a number"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			_, errs, err := run(context.Background(), tt.role, tt.world, nil)
			var got *WorkerError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a *WorkerError; stderr:\n%s", err, errs)
			}
			if got.Worker != tt.want.Worker || got.Code != tt.want.Code || got.Signal != tt.want.Signal ||
				got.Reason != tt.want.Reason || !slices.Equal(got.Tail, tt.want.Tail) {
				t.Errorf("error %+v, want %+v", *got, tt.want)
			}
			if strings.Contains(errs, "unexpected") {
				t.Errorf("the other workers:\n%s", errs)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  WorkerError
		want string
	}{
		{WorkerError{Worker: 1, Code: 3, Tail: []string{"a", "b"}}, "worker 1: exit status 3; its last lines:\n\ta\n\tb"},
		{WorkerError{Worker: 2, Code: -1, Signal: syscall.SIGKILL}, "worker 2: killed by signal 9 (killed)"},
		{WorkerError{Worker: 0, Code: 1, Reason: "why"}, "worker 0: exit status 1: why"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("error reads %q, want %q", got, tt.want)
		}
	}
}

// A worker that is done leaves without harm; who needs it learns so.
func TestWorkerLeavesWithoutClosing(t *testing.T) {
	if _, errs, err := run(context.Background(), "leave", 3, nil); err != nil {
		t.Errorf("%v\n%s", err, errs)
	}
}

// ready calls f when the workers have announced themselves.
func ready(s *Spec, f func()) {
	r, w := io.Pipe()
	s.Stdout = w
	go func() {
		bufio.NewReader(r).ReadString('\n')
		f()
		io.Copy(io.Discard, r)
	}()
}

func TestStop(t *testing.T) {
	t.Run("by context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		_, errs, err := run(ctx, "stop", 2, func(s *Spec) { ready(s, cancel) })
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%v\n%s", err, errs)
		}
	})
	t.Run("by signal", func(t *testing.T) {
		_, errs, err := run(context.Background(), "stop", 2, func(s *Spec) {
			ready(s, func() { syscall.Kill(os.Getpid(), syscall.SIGTERM) })
		})
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%v\n%s", err, errs)
		}
	})
	t.Run("of those who do not listen, after the grace period", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		_, errs, err := run(ctx, "stubborn", 2, func(s *Spec) {
			s.Grace = time.Millisecond
			ready(s, cancel)
		})
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%v\n%s", err, errs)
		}
	})
}

// The workers hold a pipe open; its end of file is their death.
func TestWorkersDieWithTheParent(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("named pipes: %v", err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleKey+"=parent", "SUPERVISE_TEST_FIFO="+fifo)
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
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "alive") {
			t.Fatalf("worker says %q, %v", line, err)
		}
	}
	parent.Process.Kill()
	parent.Wait()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the parent's death: %q, %v", rest, err)
	}
}

func TestOutputOfRanks(t *testing.T) {
	out, errs, err := run(context.Background(), "print", 3, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	for _, want := range []string{"out 0\nunfinished", "[rank 1] out 1\n", "[rank 1] unfinished\n", "[rank 2] out 2\n", "[rank 2] unfinished\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("output %q lacks %q", out, want)
		}
	}
}

func TestBoundToProcessors(t *testing.T) {
	cpus := SplitCPUs(1)
	if len(cpus) != 1 || len(cpus[0]) != runtime.NumCPU() {
		t.Fatalf("processors of one rank: %v, want all %d", cpus, runtime.NumCPU())
	}
	if got := SplitCPUs(runtime.NumCPU() + 1); got != nil {
		t.Errorf("more ranks than processors: %v, want none bound", got)
	}
	out, errs, err := run(context.Background(), "sum", 1, func(s *Spec) { s.CPUs = [][]int{cpus[0][:1]} })
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if f := strings.Fields(out); len(f) != 5 || f[4] != "1" {
		t.Errorf("worker sees %q, want one processor", f)
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"no workers", Spec{}, "0 workers, want 1 to 64"},
		{"too many", Spec{World: 65}, "65 workers"},
		{"processors", Spec{World: 2, CPUs: [][]int{{0}}}, "processors for 1 ranks, want 2"},
		{"no program", Spec{World: 2, Binary: "/no/such/program"}, "worker 0: start"},
	}
	for _, tt := range tests {
		if err := Run(context.Background(), tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestWorkerRefusesAWrongEnvironment(t *testing.T) {
	t.Setenv(envGroup, "three")
	if _, err := Worker(shm.Options{}); err == nil || !strings.Contains(err.Error(), envGroup) {
		t.Errorf("error %v, want one that names %s", err, envGroup)
	}
	t.Setenv(envGroup, "")
	comm, err := Worker(shm.Options{})
	if err != nil || comm.Info().World != 1 {
		t.Errorf("without a parent: %v, %v; want a world of one", comm, err)
	}
}
