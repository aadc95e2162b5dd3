package shm

import "github.com/espalier-ml/espalier/collective"

// queued is an operation that was issued and is not complete.
type queued struct {
	call   collective.Call
	region *region // of alloc and free
}

// queue is a ring of operations that grows when it is full and so settles at
// the largest number ever in flight. Tokens count operations from 1.
type queue struct {
	ring []queued
	head uint64 // token of the oldest operation
	tail uint64 // token of the next to be issued
}

func newQueue() queue { return queue{ring: make([]queued, 64), head: 1, tail: 1} }

func (q *queue) empty() bool { return q.head == q.tail }

// at is the operation of a token in [head, tail).
func (q *queue) at(token uint64) *queued { return &q.ring[token%uint64(len(q.ring))] }

func (q *queue) push(call *collective.Call, r *region) uint64 {
	if q.tail-q.head == uint64(len(q.ring)) {
		q.grow()
	}
	token := q.tail
	q.tail++
	*q.at(token) = queued{*call, r}
	return token
}

func (q *queue) pop() {
	*q.at(q.head) = queued{} // lets go of the buffers
	q.head++
}

func (q *queue) grow() {
	bigger := queue{ring: make([]queued, 2*len(q.ring)), head: q.head, tail: q.tail}
	for t := q.head; t < q.tail; t++ {
		*bigger.at(t) = *q.at(t)
	}
	*q = bigger
}
