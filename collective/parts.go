package collective

import (
	"fmt"
	"sync/atomic"
)

// Part is a run [Lo, Hi) of a step's shards that is a subtree of their tree,
// so that it does not matter where it is added up.
type Part struct{ Lo, Hi int }

// Shards is their number.
func (p Part) Shards() int { return p.Hi - p.Lo }

// maxShards bounds what a rank believes of others. MaxParts is then a bound of
// the parts of a rank.
const (
	maxShards = 1 << 16
	MaxParts  = 32
)

// Parts are the shards that a rank computes: of the shards of a step it owns
// the run from rank*shards/world to (rank+1)*shards/world, cut in the largest
// subtrees of the tree over all shards. 8 shards on 3 ranks are
//
//	rank 0: [0,2)
//	rank 1: [2,4) [4,5)
//	rank 2: [5,6) [6,8)
//
// It is nil if there are fewer shards than ranks, or no such rank.
func Parts(shards, world int, rank Rank) []Part {
	d, err := Divide(shards, world)
	if err != nil || rank < 0 || int(rank) >= world {
		return nil
	}
	return d.Of[rank]
}

// Division is how the shards of a step lie on the ranks of a world. It never
// changes.
type Division struct {
	Shards, World int

	Of   [][]Part // by rank
	Most int      // parts that any rank has
	Tree *Tree    // over the parts of all ranks, in order
	Even bool     // a sum along Tree is one along SumTree over ranks
}

// Divide divides shards among the ranks of a world.
func Divide(shards, world int) (*Division, error) {
	switch {
	case world < 1:
		return nil, fmt.Errorf("%d shards on %d ranks: want one rank at least", shards, world)
	case shards < world:
		return nil, fmt.Errorf("%d shards on %d ranks: want at least one shard a rank; raise shards to %d", shards, world, world)
	case shards > maxShards:
		return nil, fmt.Errorf("%d shards: want at most %d", shards, maxShards)
	}
	d := &Division{Shards: shards, World: world, Of: make([][]Part, world)}
	d.Tree = d.cut(0, shards)
	for _, parts := range d.Of {
		d.Most = max(d.Most, len(parts))
	}
	d.Even = d.Tree.equal(NewTree(world))
	return d, nil
}

// cut is the tree over the parts in the subtree of shards [lo, hi).
func (d *Division) cut(lo, hi int) *Tree {
	owner := ((lo+1)*d.World - 1) / d.Shards // the last rank whose run begins by lo
	if hi <= (owner+1)*d.Shards/d.World {
		d.Of[owner] = append(d.Of[owner], Part{lo, hi})
		return &Tree{Leaves: 1}
	}
	mid := lo + TreeSplit(hi-lo)
	left := d.cut(lo, mid)
	return join(left, d.cut(mid, hi))
}

// Divisions makes the calls of SumShards, for transports. It remembers the
// last division. Any goroutine may use it; the zero value is ready.
type Divisions struct{ last atomic.Pointer[Division] }

// Of is Divide, without allocation if it is the same as last time.
func (c *Divisions) Of(shards, world int) (*Division, error) {
	if d := c.last.Load(); d != nil && d.Shards == shards && d.World == world {
		return d, nil
	}
	d, err := Divide(shards, world)
	if err == nil {
		c.last.Store(d)
	}
	return d, err
}

// Call is a SumShards as it was issued: an AllReduce, with parts and division
// unless it is one indeed. The error is about the arguments.
func (c *Divisions) Call(info Info, parts []Buf, shards int, meta OpMeta) (Call, error) {
	call := Call{Kind: KindAllReduce, Op: Sum, Meta: meta}
	d, err := c.Of(shards, info.World)
	if err != nil {
		return call, err
	}
	if own := d.Of[info.Rank]; len(parts) != len(own) {
		return call, fmt.Errorf("%d parts of %d shards on %d ranks: rank %d has %d: %v", len(parts), shards, info.World, info.Rank, len(own), own)
	}
	call.In, call.Out = parts[0], parts[0]
	for i, p := range parts {
		if p.Type() != call.In.Type() || p.Len() != call.In.Len() || (p.Device() != 0) != (call.In.Device() != 0) {
			return call, fmt.Errorf("part %d is %s[%d], part 0 is %s[%d]: want parts of one length", i, p.Type(), p.Len(), call.In.Type(), call.In.Len())
		}
	}
	if !d.Even {
		call.Parts, call.Division = parts, d
	}
	return call, nil
}
