package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// LoaderConfig sizes a Loader.
type LoaderConfig struct {
	MaxRows int // largest Request.N to come
	Depth   int // batches prepared ahead of the one in use; 0 = 2
	Workers int // goroutines that fill; 0 = 1
}

// Loader prepares batches ahead of the step in a ring of reusable buffers.
// Batches arrive in the order of their requests whatever the number of
// workers, and in steady state nothing is allocated.
//
// Next is for one goroutine; Close may be called from any, at any time.
type Loader struct {
	src     Source
	request func(i int) (Request, bool)
	max     int
	ring    []slot
	next    int  // place of the next batch to deliver
	held    bool // the batch before it is still in the caller's hands
	err     error

	take   sync.Mutex // guards place: slots are taken in order
	place  int        // next request to prepare
	stop   chan struct{}
	closed sync.Once
	wg     sync.WaitGroup
}

// slot is one buffer of the ring. It goes round between free and full; each
// channel holds one token.
type slot struct {
	batch      *Batch
	err        error
	free, full chan struct{}
}

// ErrClosed is what Next returns after Close.
var ErrClosed = errors.New("loader closed")

// NewLoader starts to prepare the batches request(0), request(1), … of src,
// until request says false. request is called once for each place, in order,
// from background goroutines. For another largest batch, Close and make a new
// Loader: requests carry their cursor, so nothing is lost.
func NewLoader(src Source, c LoaderConfig, request func(i int) (Request, bool)) (*Loader, error) {
	if c.Depth == 0 {
		c.Depth = 2
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.MaxRows < 1 || c.Depth < 1 || c.Workers < 1 {
		return nil, fmt.Errorf("loader: %d rows, depth %d, %d workers, want at least 1 each", c.MaxRows, c.Depth, c.Workers)
	}
	l := &Loader{src: src, request: request, max: c.MaxRows, stop: make(chan struct{})}
	l.ring = make([]slot, c.Depth+1) // one is in the caller's hands
	row := src.Row()
	for i := range l.ring {
		s := &l.ring[i]
		s.batch = NewBatch(row, c.MaxRows)
		s.free, s.full = make(chan struct{}, 1), make(chan struct{}, 1)
		s.free <- struct{}{}
	}
	for range min(c.Workers, c.Depth) {
		l.wg.Go(l.work)
	}
	return l, nil
}

// work fills slots until there is no request left.
func (l *Loader) work() {
	for {
		s, r, ok := l.acquire()
		if s == nil {
			return
		}
		err := io.EOF
		if ok {
			err = l.fill(s.batch, r)
		}
		s.err = err
		s.full <- struct{}{} // never blocks: one token goes round; s is the caller's now
		if err != nil {
			l.halt()
			return
		}
	}
}

func (l *Loader) fill(b *Batch, r Request) error {
	if r.N < 0 || r.N > l.max {
		return fmt.Errorf("loader: request for %d rows, want 0 to %d", r.N, l.max)
	}
	return l.src.Fill(b, r)
}

// halt keeps further requests from being prepared after one that failed.
func (l *Loader) halt() {
	l.take.Lock()
	l.place = -1
	l.take.Unlock()
}

// acquire waits for the next slot of the ring and asks for its request; nil
// means that the work is over.
func (l *Loader) acquire() (s *slot, r Request, ok bool) {
	l.take.Lock()
	defer l.take.Unlock()
	if l.place < 0 {
		return nil, r, false
	}
	s = &l.ring[l.place%len(l.ring)]
	select {
	case <-s.free:
	case <-l.stop:
		return nil, r, false
	}
	if r, ok = l.request(l.place); !ok {
		l.place = -1
	} else {
		l.place++
	}
	return s, r, ok
}

// Next returns the next batch, which stays valid until the following Next or
// Close. After the last it returns io.EOF; an error of the source comes in its
// batch's place and stays. A cancelled context loses nothing: the batch comes
// with the next call.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	if l.err != nil {
		return nil, l.err
	}
	if l.held {
		l.ring[(l.next-1)%len(l.ring)].free <- struct{}{}
		l.held = false
	}
	s := &l.ring[l.next%len(l.ring)]
	select {
	case <-l.stop:
		return nil, ErrClosed
	default:
	}
	select {
	case <-s.full:
	case <-l.stop:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.err != nil {
		l.err = s.err
		return nil, l.err
	}
	l.next++
	l.held = true
	return s.batch, nil
}

// Close ends the background work and waits for it. It may be called twice.
func (l *Loader) Close() {
	l.closed.Do(func() { close(l.stop) })
	l.wg.Wait()
}
