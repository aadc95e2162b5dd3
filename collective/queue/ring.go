package queue

// Ring is a queue that grows when it is full and so settles at the largest
// length it ever had. Places count from 1, for ever.
type Ring[T any] struct {
	items []T
	head  uint64 // place of the oldest
	tail  uint64 // place of the next to come
}

// NewRing makes one with room for size items.
func NewRing[T any](size int) Ring[T] { return Ring[T]{items: make([]T, size), head: 1, tail: 1} }

// Empty reports whether there is no item.
func (r *Ring[T]) Empty() bool { return r.head == r.tail }

// at is the item of a place in [head, tail).
func (r *Ring[T]) at(place uint64) *T { return &r.items[place%uint64(len(r.items))] }

// Push adds an item and returns its place.
func (r *Ring[T]) Push(item T) uint64 {
	if r.tail-r.head == uint64(len(r.items)) {
		bigger := Ring[T]{items: make([]T, 2*len(r.items)), head: r.head, tail: r.tail}
		for p := r.head; p < r.tail; p++ {
			*bigger.at(p) = *r.at(p)
		}
		*r = bigger
	}
	*r.at(r.tail) = item
	r.tail++
	return r.tail - 1
}

// Pop takes the oldest item.
func (r *Ring[T]) Pop() T {
	item := *r.at(r.head)
	r.drop()
	return item
}

// drop is Pop without a look at the item.
func (r *Ring[T]) drop() {
	var none T
	*r.at(r.head) = none // lets go of memory
	r.head++
}
