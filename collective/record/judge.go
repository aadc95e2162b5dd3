package record

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Fault is what is wrong with a group.
type Fault string

// The faults.
const (
	Healthy      Fault = "healthy"       // nobody waits for anybody
	NeverArrived Fault = "never arrived" // others wait in an operation that a rank has not issued
	DifferentOp  Fault = "different op"  // ranks issued different operations
	Slow         Fault = "slow"          // all are in the same operation; a rank came last
	Dead         Fault = "dead"          // a rank that others need has no tail
)

// Verdict is what Judge finds.
type Verdict struct {
	Fault Fault             `json:"fault"`
	Ranks []collective.Rank `json:"ranks"` // at fault
	Op    Entry             `json:"op"`    // as those not at fault have it
	Other Entry             `json:"other"` // as the first at fault has it, of a different op
	Late  time.Duration     `json:"late"`  // how much later than the first the slow one came
}

// Judge says who holds a group up, from the tails of its ranks. A rank
// without a tail could not be reached.
//
// Operations are compared by their index, which counts alike on all ranks.
// The first index at which ranks issued different things decides; else the
// first operation that is not complete everywhere does.
func Judge(world int, tails []Tail) Verdict {
	byRank := make([]*Tail, world)
	for i := range tails {
		if r := tails[i].Rank; r >= 0 && int(r) < world {
			byRank[r] = &tails[i]
		}
	}
	if v, found := different(byRank); found {
		return v
	}
	index, found := stuck(byRank)
	var missing []collective.Rank
	for r, t := range byRank {
		if t == nil {
			missing = append(missing, collective.Rank(r))
		}
	}
	op := anyEntry(byRank, index)
	switch {
	case len(missing) > 0:
		return Verdict{Fault: Dead, Ranks: missing, Op: op}
	case !found:
		return Verdict{Fault: Healthy}
	}
	var absent []collective.Rank
	for r, t := range byRank {
		if t.issued() < index {
			absent = append(absent, collective.Rank(r))
		}
	}
	if len(absent) > 0 {
		return Verdict{Fault: NeverArrived, Ranks: absent, Op: op}
	}
	last, late := latest(byRank, index)
	return Verdict{Fault: Slow, Ranks: []collective.Rank{last}, Op: op, Late: late}
}

// different finds the first operation that is not the same on all ranks.
func different(byRank []*Tail) (Verdict, bool) {
	index, found := uint64(0), false
	for _, t := range byRank {
		if t == nil {
			continue
		}
		for i := range t.Entries { // of what tails hold, however their numbers run
			e := &t.Entries[i]
			if found && e.Index >= index {
				break
			}
			for _, other := range byRank {
				if o := other.entry(e.Index); o != nil && !same(e, o) {
					index, found = e.Index, true
				}
			}
		}
	}
	if !found {
		return Verdict{}, false
	}
	right := usual(byRank, index)
	v := Verdict{Fault: DifferentOp, Op: *right}
	for r, t := range byRank {
		if e := t.entry(index); e != nil && !same(e, right) {
			if len(v.Ranks) == 0 {
				v.Other = *e
			}
			v.Ranks = append(v.Ranks, collective.Rank(r))
		}
	}
	return v, true
}

// usual is the form of an operation that most ranks issued; of equally
// frequent ones, that of the lowest rank.
func usual(byRank []*Tail, index uint64) (right *Entry) {
	most := 0
	for _, t := range byRank {
		e, n := t.entry(index), 0
		if e == nil {
			continue
		}
		for _, other := range byRank {
			if o := other.entry(index); o != nil && same(e, o) {
				n++
			}
		}
		if n > most {
			right, most = e, n
		}
	}
	return right
}

// same reports whether two ranks mean the same operation. What a SendRecv
// moves differs from rank to rank.
func same(a, b *Entry) bool {
	return a.Op == b.Op && a.Seq == b.Seq && a.Bucket == b.Bucket && a.Sig == b.Sig &&
		(a.Bytes == b.Bytes || a.Op == collective.KindSendRecv.String())
}

// stuck is the first operation that somebody issued and that is not complete
// on all ranks that have a tail.
func stuck(byRank []*Tail) (index uint64, found bool) {
	index = ^uint64(0)
	last := uint64(0)
	for _, t := range byRank {
		if t != nil {
			index, last = min(index, t.completed()+1), max(last, t.issued())
		}
	}
	return index, index <= last
}

// latest is the rank that issued an operation last, going by how long ago
// each did on its own clock.
func latest(byRank []*Tail, index uint64) (who collective.Rank, late time.Duration) {
	var oldest, youngest time.Duration
	begun := false
	for r, t := range byRank {
		e := t.entry(index)
		if e == nil {
			continue
		}
		age := t.Taken.Sub(e.Queued)
		if !begun || age < youngest {
			youngest, who = age, collective.Rank(r)
		}
		if !begun || age > oldest {
			oldest = age
		}
		begun = true
	}
	return who, oldest - youngest
}

func anyEntry(byRank []*Tail, index uint64) Entry {
	for _, t := range byRank {
		if e := t.entry(index); e != nil {
			return *e
		}
	}
	return Entry{}
}

// entry is that of an index, nil if the tail has none.
func (t *Tail) entry(index uint64) *Entry {
	if t == nil || len(t.Entries) == 0 || index < t.Entries[0].Index || index > t.issued() {
		return nil
	}
	return &t.Entries[index-t.Entries[0].Index]
}

// issued is the index of the last operation.
func (t *Tail) issued() uint64 {
	if len(t.Entries) == 0 {
		return 0
	}
	return t.Entries[len(t.Entries)-1].Index
}

// completed is the index up to which all operations are complete.
func (t *Tail) completed() uint64 {
	for i := range t.Entries {
		if e := &t.Entries[i]; !e.Complete() {
			return e.Index - 1
		}
	}
	return t.issued()
}

func (v Verdict) String() string {
	who := "rank"
	if len(v.Ranks) > 1 {
		who = "ranks"
	}
	for i, r := range v.Ranks {
		if i > 0 {
			who += ","
		}
		who += fmt.Sprintf(" %d", r)
	}
	switch v.Fault {
	case DifferentOp:
		return fmt.Sprintf("%s issued %v, others %v", who, &v.Other, &v.Op)
	case Slow:
		return fmt.Sprintf("%s came last, %v after the first: %v", who, v.Late, &v.Op)
	case NeverArrived:
		return fmt.Sprintf("%s never arrived: %v", who, &v.Op)
	case Dead:
		if v.Op.Index == 0 {
			return who + " dead: no operation waits"
		}
		return fmt.Sprintf("%s dead: %v", who, &v.Op)
	}
	return string(v.Fault)
}

func (e *Entry) String() string {
	return fmt.Sprintf("%s seq %d bucket %d, %d bytes", e.Op, e.Seq, e.Bucket, e.Bytes)
}
