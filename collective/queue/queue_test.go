package queue

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
)

type fixture struct {
	mu sync.Mutex
	q  *Queue[int]
}

func newFixture() *fixture {
	f := &fixture{}
	f.q = New[int](&f.mu, collective.Info{Rank: 3, Gen: collective.Gen{N: 9}})
	return f
}

func (f *fixture) push(seq uint64, with int) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.q.Push(&collective.Call{Kind: collective.KindBarrier, Meta: collective.OpMeta{Seq: seq}}, with)
}

func (f *fixture) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// Operations come out in the order of issue, with what was kept with them,
// however many there are.
func TestOrder(t *testing.T) {
	f := newFixture()
	next := uint64(1)
	for k := range 500 {
		if token := f.push(uint64(k), k); token != uint64(k+1) || f.q.Issued() != token {
			t.Fatalf("operation %d has token %d, last issued %d", k, token, f.q.Issued())
		}
		if k%3 != 0 {
			continue
		}
		f.locked(func() {
			token, op := f.q.Oldest()
			if token != next || op.With != int(next-1) || op.Call.Meta.Seq != next-1 {
				t.Errorf("oldest is %d with %d, want %d", token, op.With, next)
			}
			f.q.Complete()
		})
		if !f.q.Done(next) || f.q.Done(next+1) || f.q.Completed() != next {
			t.Errorf("after %d: completed %d", next, f.q.Completed())
		}
		next++
	}
}

func TestOldestOfNone(t *testing.T) {
	if token, op := newFixture().q.Oldest(); token != 0 || op != nil {
		t.Errorf("an empty queue has %d, %v", token, op)
	}
}

// Each waiter is woken by its own operation, in whatever order they came.
func TestWait(t *testing.T) {
	f := newFixture()
	const n = 20
	var wg sync.WaitGroup
	for k := range n {
		token := f.push(uint64(k), 0)
		for range 2 {
			wg.Go(func() {
				if err := f.q.Wait(context.Background(), token); err != nil || f.q.Completed() < token {
					t.Errorf("wait for %d: %v, completed %d", token, err, f.q.Completed())
				}
			})
		}
	}
	for range n {
		f.locked(f.q.Complete)
	}
	wg.Wait()
}

// What is pending fails, as the operation it is; what is complete stays so.
func TestFail(t *testing.T) {
	f := newFixture()
	first, second := f.push(1, 0), f.push(2, 0)
	f.locked(f.q.Complete)
	cause := errors.New("the cause")
	waiting := make(chan error)
	go func() { waiting <- f.q.Wait(context.Background(), second) }()
	f.locked(func() { f.q.Fail(cause) })
	var op *collective.OpError
	if err := <-waiting; !errors.Is(err, cause) || !errors.As(err, &op) || op.Seq != 2 || op.Rank != 3 || op.Gen != 9 {
		t.Errorf("wait: %v", err)
	}
	if err := f.q.Wait(context.Background(), first); err != nil || !f.q.Done(second) || f.q.Failed() != cause {
		t.Errorf("complete one: %v; other done: %t", err, f.q.Done(second))
	}
}

// A context ends a wait and nothing else.
func TestWaitEndsWithItsContext(t *testing.T) {
	f := newFixture()
	token := f.push(7, 0)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	var op *collective.OpError
	if err := f.q.Wait(ctx, token); !errors.Is(err, why) || !errors.As(err, &op) || op.Seq != 7 || f.q.Done(token) {
		t.Errorf("wait: %v", err)
	}
	f.locked(f.q.Complete)
	if err := f.q.Wait(ctx, token); err != nil {
		t.Errorf("wait for a complete one: %v", err)
	}
}

func TestNoAllocations(t *testing.T) {
	f := newFixture()
	step := make(chan struct{})
	go func() {
		for range step {
			f.locked(f.q.Complete)
		}
	}()
	run := func() {
		token := f.push(1, 0)
		step <- struct{}{}
		f.q.Wait(context.Background(), token)
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations an operation", n)
	}
	close(step)
}
