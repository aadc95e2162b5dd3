package cuda_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/kernels/cuda"
)

// recorder is a driver that computes nothing: it remembers what was asked and
// fails at one call of choice.
type recorder struct {
	calls    []string
	launched []cuda.Launch
	failAt   int // fails at this call, counted from 1; 0: never
	next     uint64
	live     map[uint64]int
}

var errInjected = errors.New("injected")

func newRecorder() *recorder { return &recorder{next: 1 << 20, live: map[uint64]int{}} }

func (r *recorder) call(format string, args ...any) error {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	if len(r.calls) == r.failAt {
		return errInjected
	}
	return nil
}

func (r *recorder) Name() string { return "recorder" }

func (r *recorder) Alloc(n int) (uint64, []byte, error) {
	if err := r.call("alloc %d", n); err != nil {
		return 0, nil, err
	}
	r.next += uint64(n+511) &^ 255
	r.live[r.next] = n
	return r.next, nil, nil
}

func (r *recorder) Free(a uint64) error {
	delete(r.live, a)
	return r.call("free")
}

// inside tells whether [a, a+n) lies in memory that is allocated.
func (r *recorder) inside(a uint64, n int) bool {
	for base, size := range r.live {
		if a >= base && a+uint64(n) <= base+uint64(size) {
			return true
		}
	}
	return false
}

func (r *recorder) ToDevice(a uint64, from []byte) error {
	if !r.inside(a, len(from)) {
		return fmt.Errorf("copy of %d bytes to %#x, which is not allocated", len(from), a)
	}
	return r.call("write %d", len(from))
}

func (r *recorder) FromDevice(to []byte, a uint64) error {
	if !r.inside(a, len(to)) {
		return fmt.Errorf("copy of %d bytes from %#x, which is not allocated", len(to), a)
	}
	return r.call("read %d", len(to))
}

func (r *recorder) Launch(l *cuda.Launch) error {
	r.launched = append(r.launched, *l)
	return r.call("launch %s", l.Kernel)
}

func (r *recorder) Synchronize() error { return r.call("synchronize") }
func (r *recorder) Close() error       { return r.call("close") }

// kernels lists the kernels launched so far.
func (r *recorder) kernels() string {
	var names []string
	for _, l := range r.launched {
		names = append(names, l.Kernel)
	}
	return strings.Join(names, " ")
}

func wantNoMemory(t *testing.T, r *recorder) {
	t.Helper()
	if len(r.live) > 0 {
		t.Errorf("%d allocations are left of calls %v", len(r.live), r.calls)
	}
}
