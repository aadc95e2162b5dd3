package tcp

import (
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
)

// queued is an operation that was issued and is not complete.
type queued struct {
	call   collective.Call
	region *region     // of alloc and free
	code   codec.Codec // of the data on the wire, nil for none
}

// ring is a queue that grows when it is full and so settles at the largest
// length it ever had. Places count from 1, for ever.
type ring[T any] struct {
	items []T
	head  uint64 // place of the oldest
	tail  uint64 // place of the next to come
}

func newRing[T any](size int) ring[T] { return ring[T]{items: make([]T, size), head: 1, tail: 1} }

func (q *ring[T]) empty() bool { return q.head == q.tail }

// at is the item of a place in [head, tail).
func (q *ring[T]) at(place uint64) *T { return &q.items[place%uint64(len(q.items))] }

func (q *ring[T]) push(item T) uint64 {
	if q.tail-q.head == uint64(len(q.items)) {
		bigger := ring[T]{items: make([]T, 2*len(q.items)), head: q.head, tail: q.tail}
		for p := q.head; p < q.tail; p++ {
			*bigger.at(p) = *q.at(p)
		}
		*q = bigger
	}
	*q.at(q.tail) = item
	q.tail++
	return q.tail - 1
}

func (q *ring[T]) pop() (item T) {
	var none T
	item, *q.at(q.head) = *q.at(q.head), none // lets go of memory
	q.head++
	return item
}
