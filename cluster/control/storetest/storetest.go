// Package storetest is the suite of tests that every cluster.Store passes:
// one winner of every race, revisions that rise, bounds that hold, watches
// that show the present and then every change. A store's own tests add its
// faults.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) (a, b cluster.Store) { ... })
//	}
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
)

// Bound is how long a test waits for what must happen.
const Bound = 20 * time.Second

// Run runs the suite. open returns two handles on one new, empty store; it
// closes what it opened by t.Cleanup, where the suite has not.
func Run(t *testing.T, open func(t *testing.T) (a, b cluster.Store)) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, ctx context.Context, a, b cluster.Store)
	}{
		{"a key is created once", createdOnce},
		{"an update needs the newest revision", newestRevision},
		{"racing updates have one winner", oneWinner},
		{"increments by several hands are all counted", allCounted},
		{"keys and values are bounded", bounded},
		{"values are copies", copies},
		{"a watch shows the present, then changes", presentThenChanges},
		{"a watch keeps to its prefix", prefix},
		{"a watch ends with its context", watchEnds},
		{"a slow watcher gets the newest value", slowWatcher},
		{"an ended context is an error", endedContext},
		{"close ends operations and watches", closeEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), Bound)
			defer cancel()
			a, b := open(t)
			c.run(t, ctx, a, b)
		})
	}
}

// Await reads key until it has the value want: reads may be behind.
func Await(ctx context.Context, t *testing.T, s cluster.Store, key, want string) cluster.Entry {
	t.Helper()
	for {
		e, err := s.Get(ctx, key)
		if err == nil && string(e.Value) == want {
			return e
		}
		if err != nil && !errors.Is(err, cluster.ErrNotFound) {
			t.Fatalf("get %s: %v", key, err)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("get %s: %q, want %q", key, e.Value, want)
		}
	}
}

func must(t *testing.T) func(rev cluster.Rev, err error) cluster.Rev {
	return func(rev cluster.Rev, err error) cluster.Rev {
		t.Helper()
		if err != nil || rev == 0 {
			t.Fatalf("revision %d, error %v", rev, err)
		}
		return rev
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("error %v, want %v", got, want)
	}
}

// next is the next entry of a watch.
func next(ctx context.Context, t *testing.T, w <-chan cluster.Entry) cluster.Entry {
	t.Helper()
	select {
	case e, ok := <-w:
		if !ok {
			t.Fatal("watch was closed")
		}
		return e
	case <-ctx.Done():
		t.Fatal("watch is silent")
	}
	panic("unreachable")
}

// ended waits for a watch to be closed.
func ended(ctx context.Context, t *testing.T, w <-chan cluster.Entry) {
	t.Helper()
	for {
		select {
		case _, ok := <-w:
			if !ok {
				return
			}
		case <-ctx.Done():
			t.Fatal("watch was not closed")
		}
	}
}

func createdOnce(t *testing.T, ctx context.Context, a, b cluster.Store) {
	_, err := a.Get(ctx, "gen")
	wantErr(t, err, cluster.ErrNotFound)
	rev := must(t)(a.Create(ctx, "gen", []byte("1")))
	_, err = b.Create(ctx, "gen", []byte("other"))
	wantErr(t, err, cluster.ErrExists)
	if e := Await(ctx, t, b, "gen", "1"); e.Rev != rev || e.Key != "gen" || e.Deleted {
		t.Fatalf("got %+v, want revision %d of gen", e, rev)
	}
}

func newestRevision(t *testing.T, ctx context.Context, a, b cluster.Store) {
	_, err := a.Update(ctx, "gen", []byte("0"), 7)
	wantErr(t, err, cluster.ErrConflict)
	_, err = a.Update(ctx, "gen", []byte("0"), 0)
	wantErr(t, err, cluster.ErrConflict)
	first := must(t)(a.Create(ctx, "gen", []byte("1")))
	must(t)(a.Create(ctx, "other", []byte("x")))
	second := must(t)(b.Update(ctx, "gen", []byte("2"), first))
	if second <= first {
		t.Fatalf("revision %d after %d", second, first)
	}
	for _, at := range []cluster.Rev{0, first, second + 1} {
		_, err = a.Update(ctx, "gen", []byte("3"), at)
		wantErr(t, err, cluster.ErrConflict)
	}
	if e := Await(ctx, t, a, "gen", "2"); e.Rev != second {
		t.Fatalf("revision %d, want %d", e.Rev, second)
	}
}

func oneWinner(t *testing.T, ctx context.Context, a, b cluster.Store) {
	at := must(t)(a.Create(ctx, "gen", nil))
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = []cluster.Store{a, b}[i%2].Update(ctx, "gen", []byte{byte(i)}, at) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantErr(t, err, cluster.ErrConflict)
	}
	if won != 1 {
		t.Fatalf("%d winners", won)
	}
}

func allCounted(t *testing.T, ctx context.Context, a, b cluster.Store) {
	must(t)(a.Create(ctx, "n", []byte{0}))
	const hands, each = 4, 5
	var wg sync.WaitGroup
	for i := range hands {
		s := []cluster.Store{a, b}[i%2]
		wg.Go(func() {
			for done := 0; done < each && ctx.Err() == nil; {
				e, err := s.Get(ctx, "n")
				if err == nil {
					_, err = s.Update(ctx, "n", []byte{e.Value[0] + 1}, e.Rev)
				}
				switch {
				case err == nil:
					done++
				case !errors.Is(err, cluster.ErrConflict) && !errors.Is(err, cluster.ErrNotFound):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	Await(ctx, t, a, "n", string([]byte{hands * each}))
}

func bounded(t *testing.T, ctx context.Context, a, _ cluster.Store) {
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "a/b", "a*", "a.>", "ä", string(bytes.Repeat([]byte("k"), control.MaxKey+1))} {
		_, err := a.Create(ctx, key, nil)
		wantErr(t, err, control.ErrKey)
		_, err = a.Get(ctx, key)
		wantErr(t, err, control.ErrKey)
		_, err = a.Update(ctx, key, nil, 1)
		wantErr(t, err, control.ErrKey)
	}
	for _, prefix := range []string{".", "a..", "*", "a.>"} {
		_, err := a.Watch(ctx, prefix)
		wantErr(t, err, control.ErrKey)
	}
	_, err := a.Create(ctx, "big", make([]byte, control.MaxValue+1))
	wantErr(t, err, control.ErrTooLarge)
	big := bytes.Repeat([]byte("v"), control.MaxValue)
	rev := must(t)(a.Create(ctx, string(bytes.Repeat([]byte("k"), control.MaxKey)), big))
	must(t)(a.Create(ctx, "big", big))
	_, err = a.Update(ctx, "big", append(big, 'v'), rev)
	wantErr(t, err, control.ErrTooLarge)
	Await(ctx, t, a, "big", string(big))
}

func copies(t *testing.T, ctx context.Context, a, _ cluster.Store) {
	v := []byte("abc")
	must(t)(a.Create(ctx, "k", v))
	v[0] = 'x'
	Await(ctx, t, a, "k", "abc").Value[0] = 'y'
	Await(ctx, t, a, "k", "abc")
}

func presentThenChanges(t *testing.T, ctx context.Context, a, b cluster.Store) {
	rev := must(t)(a.Create(ctx, "gen", []byte("1")))
	w, err := b.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if e := next(ctx, t, w); e.Key != "gen" || string(e.Value) != "1" || e.Rev != rev {
		t.Fatalf("present: %+v", e)
	}
	rev = must(t)(a.Update(ctx, "gen", []byte("2"), rev))
	if e := next(ctx, t, w); e.Key != "gen" || string(e.Value) != "2" || e.Rev != rev {
		t.Fatalf("change: %+v", e)
	}
	rev = must(t)(b.Create(ctx, "ack.2.a", []byte("yes")))
	if e := next(ctx, t, w); e.Key != "ack.2.a" || string(e.Value) != "yes" || e.Rev != rev {
		t.Fatalf("new key: %+v", e)
	}
}

func prefix(t *testing.T, ctx context.Context, a, b cluster.Store) {
	w, err := b.Watch(ctx, "ack.1.")
	if err != nil {
		t.Fatal(err)
	}
	part, err := b.Watch(ctx, "ack.1.b")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ack", "ack.1", "ack.10.a", "ack.1.a", "gen", "ack.1.bc.d", "ack.1.b"} {
		must(t)(a.Create(ctx, key, []byte(key)))
	}
	for _, key := range []string{"ack.1.a", "ack.1.bc.d", "ack.1.b"} {
		if e := next(ctx, t, w); e.Key != key {
			t.Fatalf("got %s, want %s", e.Key, key)
		}
	}
	for _, key := range []string{"ack.1.bc.d", "ack.1.b"} {
		if e := next(ctx, t, part); e.Key != key {
			t.Fatalf("got %s, want %s", e.Key, key)
		}
	}
}

func watchEnds(t *testing.T, ctx context.Context, a, _ cluster.Store) {
	must(t)(a.Create(ctx, "k", nil)) // nobody reads it
	inner, cancel := context.WithCancel(ctx)
	w, err := a.Watch(inner, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ended(ctx, t, w)
}

func slowWatcher(t *testing.T, ctx context.Context, a, b cluster.Store) {
	w, err := b.Watch(ctx, "n")
	if err != nil {
		t.Fatal(err)
	}
	const last = 500
	rev := must(t)(a.Create(ctx, "n", []byte("0")))
	for i := range last {
		rev = must(t)(a.Update(ctx, "n", fmt.Append(nil, i+1), rev))
	}
	for seen := cluster.Rev(0); ; {
		e := next(ctx, t, w)
		if e.Rev <= seen {
			t.Fatalf("revision %d after %d", e.Rev, seen)
		}
		if seen = e.Rev; string(e.Value) == fmt.Sprint(last) {
			return
		}
	}
}

func endedContext(t *testing.T, ctx context.Context, a, b cluster.Store) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := a.Create(ended, "k", nil)
	wantErr(t, err, context.Canceled)
	_, err = a.Get(ended, "k")
	wantErr(t, err, context.Canceled)
	_, err = a.Watch(ended, "k")
	wantErr(t, err, context.Canceled)
	_, err = b.Get(ctx, "k")
	wantErr(t, err, cluster.ErrNotFound)
}

func closeEnds(t *testing.T, ctx context.Context, a, b cluster.Store) {
	w, err := a.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ended(ctx, t, w)
	_, err = a.Get(ctx, "k")
	wantErr(t, err, control.ErrClosed)
	_, err = a.Create(ctx, "k", nil)
	wantErr(t, err, control.ErrClosed)
	_, err = a.Update(ctx, "k", nil, 1)
	wantErr(t, err, control.ErrClosed)
	_, err = a.Watch(ctx, "")
	wantErr(t, err, control.ErrClosed)
	must(t)(b.Create(ctx, "k", nil))
}
