package data

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
)

// gateSource makes batches that name their cursor. Each Fill waits for the
// gate, when there is one.
type gateSource struct {
	gate  chan struct{}
	fills atomic.Int32
	fail  uint64 // cursor that cannot be read, 0 = none
}

var errDisk = errors.New("disk on fire")

func (s *gateSource) Row() Row     { return Row{Shape: []int{2}, Targets: 1, Classes: 3} }
func (s *gateSource) Samples() int { return 1000 }

func (s *gateSource) Fill(b *Batch, r Request) error {
	if s.gate != nil {
		<-s.gate
	}
	s.fills.Add(1)
	if s.fail > 0 && r.Cursor == s.fail {
		return errDisk
	}
	b.Begin(r, 0)
	for i := range b.Y {
		b.Y[i] = int32(r.Cursor) + int32(i)
	}
	return nil
}

// first makes n requests of growing size, as a growing batch does.
func first(n int) func(int) (Request, bool) {
	return func(i int) (Request, bool) { return Request{Cursor: uint64(10 * i), N: 1 + i%8}, i < n }
}

func drain(t *testing.T, l *Loader) (cursors []uint64, err error) {
	t.Helper()
	for {
		b, err := l.Next(t.Context())
		if err != nil {
			return cursors, err
		}
		if len(b.Y) != b.N || b.Y[0] != int32(b.Request.Cursor) {
			t.Fatalf("request %+v: targets %v", b.Request, b.Y)
		}
		cursors = append(cursors, b.Request.Cursor)
	}
}

func TestLoaderDeliversInOrder(t *testing.T) {
	for _, c := range []LoaderConfig{{MaxRows: 8}, {MaxRows: 8, Depth: 1}, {MaxRows: 8, Depth: 5, Workers: 4}, {MaxRows: 8, Depth: 2, Workers: 9}} {
		for _, n := range []int{0, 1, 2, 7, 100} {
			l, err := NewLoader(&gateSource{}, c, first(n))
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(t, l)
			if err != io.EOF || len(got) != n {
				t.Errorf("%+v: %d batches of %d, error %v", c, len(got), n, err)
			}
			for i, cur := range got {
				if cur != uint64(10*i) {
					t.Fatalf("%+v: batch %d is of cursor %d", c, i, cur)
				}
			}
			if _, err := l.Next(t.Context()); err != io.EOF {
				t.Errorf("%+v: after the end: %v", c, err)
			}
			l.Close()
		}
	}
}

func TestLoaderGivesWhatFillGives(t *testing.T) {
	im := testImages(37, 6, 6, 3)
	src := training(t, im, Augment{Pad: 2, Flip: true})
	step := func(i int) (Request, bool) { return Request{Cursor: uint64(i) * 16, N: 16}, i < 12 }
	l, err := NewLoader(src, LoaderConfig{MaxRows: 16, Depth: 3, Workers: 3}, step)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := NewBatch(src.Row(), 16)
	for i := range 12 {
		b, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, _ := step(i)
		src.Fill(want, r)
		if !slices.Equal(b.X, want.X) || !slices.Equal(b.Y, want.Y) || b.Epoch != want.Epoch {
			t.Fatalf("batch %d differs", i)
		}
	}
}

// The loader works ahead by its depth while the caller holds a batch, and no
// further.
func TestLoaderWorksAhead(t *testing.T) {
	src := &gateSource{gate: make(chan struct{})}
	l, err := NewLoader(src, LoaderConfig{MaxRows: 8, Depth: 3}, first(100))
	if err != nil {
		t.Fatal(err)
	}
	src.gate <- struct{}{}
	b, err := l.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // would block for ever if the loader did not work ahead
		src.gate <- struct{}{}
	}
	if b.Request.Cursor != 0 || b.Y[0] != 0 {
		t.Errorf("the batch in hand was overwritten: %+v", b)
	}
	if n := src.fills.Load(); n > 4 {
		t.Errorf("%d batches prepared, want at most 4", n)
	}
	close(src.gate)
	l.Close()
	if n := src.fills.Load(); n > 4 {
		t.Errorf("%d batches prepared while one was held, want at most 4", n)
	}
}

func TestLoaderHandsOnErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		src     *gateSource
		request func(int) (Request, bool)
		after   int
		want    string
	}{
		{"source", &gateSource{fail: 30}, first(100), 3, errDisk.Error()},
		{"request too large", &gateSource{}, func(i int) (Request, bool) { return Request{Cursor: uint64(10 * i), N: 5 + i}, true }, 4,
			"loader: request for 9 rows, want 0 to 8"},
		{"negative request", &gateSource{}, func(int) (Request, bool) { return Request{N: -1}, true }, 0,
			"loader: request for -1 rows, want 0 to 8"},
	} {
		for workers := 1; workers <= 3; workers++ {
			l, err := NewLoader(c.src, LoaderConfig{MaxRows: 8, Depth: 3, Workers: workers}, c.request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(t, l)
			if len(got) != c.after || err == nil || err.Error() != c.want {
				t.Errorf("%s, %d workers: %d batches, error %v, want %d, %q", c.name, workers, len(got), err, c.after, c.want)
			}
			if _, again := l.Next(t.Context()); again != err {
				t.Errorf("%s: the error does not stay: %v", c.name, again)
			}
			l.Close()
		}
	}
	if _, err := NewLoader(&gateSource{}, LoaderConfig{}, first(1)); err == nil {
		t.Error("no rows: no error")
	}
}

func TestLoaderObeysTheContext(t *testing.T) {
	src := &gateSource{gate: make(chan struct{})}
	l, err := NewLoader(src, LoaderConfig{MaxRows: 8}, first(3))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := l.Next(ctx); err != cause {
		t.Errorf("error %v", err)
	}
	close(src.gate)
	if got, err := drain(t, l); err != io.EOF || len(got) != 3 {
		t.Errorf("after a cancelled call: %d batches, error %v", len(got), err)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		l, err := NewLoader(&gateSource{}, LoaderConfig{MaxRows: 8, Depth: 3, Workers: 3}, first(1<<30))
		if err != nil {
			t.Fatal(err)
		}
		for range i % 7 {
			if _, err := l.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		l.Close()
		if _, err := l.Next(t.Context()); err != ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	}
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n == 1e6 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched() // Close has waited; the last instructions may remain
	}
}

func TestLoaderAllocatesNothing(t *testing.T) {
	im := testImages(200, 8, 8, 1)
	src := training(t, im, Augment{Pad: 1, Flip: true})
	l, err := NewLoader(src, LoaderConfig{MaxRows: 32, Depth: 2}, func(i int) (Request, bool) {
		return Request{Cursor: uint64(i) * 32, N: 32}, true
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := l.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
