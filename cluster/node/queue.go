package node

import (
	"context"
	"sync"
)

// queue is a channel that never blocks its senders.
type queue[T any] struct {
	out     chan T
	drained chan struct{} // closed when run has ended

	mu     sync.Mutex
	items  []T
	closed bool
	more   chan struct{}
}

func (q *queue[T]) init() {
	q.out, q.drained, q.more = make(chan T), make(chan struct{}), make(chan struct{}, 1)
}

// put appends an item; after close it is dropped.
func (q *queue[T]) put(x T) {
	q.mu.Lock()
	if !q.closed {
		q.items = append(q.items, x)
	}
	q.mu.Unlock()
	q.poke()
}

// close ends the queue behind the items it holds.
func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

func (q *queue[T]) poke() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// run moves items to out until the queue is closed and empty, or ctx ends;
// then it closes out.
func (q *queue[T]) run(ctx context.Context) {
	defer close(q.drained)
	defer close(q.out)
	for {
		q.mu.Lock()
		items, closed := q.items, q.closed
		q.items = nil
		q.mu.Unlock()
		for _, x := range items {
			select {
			case q.out <- x:
			case <-ctx.Done():
				return
			}
		}
		if len(items) > 0 {
			continue
		}
		if closed {
			return
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			return
		}
	}
}
