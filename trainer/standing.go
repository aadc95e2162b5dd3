package trainer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/espalier-ml/espalier/collective"
)

// standing is what a rank tells the others when a generation forms: which run
// it is in and which state it holds.
type standing struct {
	run   [32]byte // of everything that the run is a function of
	has   bool     // a state at all
	step  uint64
	plan  [32]byte // of the network's shape
	state [32]byte // of all of the state: see digests
	size  uint64   // of the packed state in bytes
	// last is 1 + the step of the newest evaluation that the rank knows of, 0
	// if it knows none; spent is the length of its account: see spent.
	last, spent uint64
}

const (
	standingBytes   = 160
	standingVersion = 1
)

func (s *standing) encode() []byte {
	b := make([]byte, 0, standingBytes)
	u := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	u(standingVersion)
	b = append(b, s.run[:]...)
	has := uint64(0)
	if s.has {
		has = 1
	}
	u(has)
	u(s.step)
	b = append(b, s.plan[:]...)
	b = append(b, s.state[:]...)
	u(s.size)
	u(s.last)
	u(s.spent)
	return b[:standingBytes]
}

// decodeStanding reads what another rank sent. limit bounds the size of a
// state, maxSpent that of an account.
func decodeStanding(b []byte, limit uint64) (s standing, err error) {
	next := func() uint64 {
		v := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return v
	}
	sum := func(d *[32]byte) { b = b[copy(d[:], b):] }
	if v := next(); v != standingVersion {
		return s, fmt.Errorf("version %d of the standing, want %d: all ranks must run the same program", v, standingVersion)
	}
	sum(&s.run)
	has := next()
	s.has = has == 1
	s.step = next()
	sum(&s.plan)
	sum(&s.state)
	s.size, s.last, s.spent = next(), next(), next()
	switch {
	case has > 1:
		return s, fmt.Errorf("unreadable standing")
	case s.has && (s.size == 0 || s.size > limit):
		return s, fmt.Errorf("a state of %d bytes, this run's have at most %d", s.size, limit)
	case s.spent > maxSpent:
		return s, fmt.Errorf("an account of %d bytes, want at most %d", s.spent, maxSpent)
	}
	return s, nil
}

// maxSpent bounds the account that goes with a state, in bytes.
const maxSpent = 64 << 10

// agreement is what follows from the standings of all ranks, alike on each.
type agreement struct {
	fresh   bool // nobody holds a state
	step    uint64
	holders []collective.Rank // of the state that counts
	behind  []collective.Rank // those that need it
	// odd are the ranks that are at the same step with another state: what
	// should never be.
	odd    []collective.Rank
	teller collective.Rank // whose account counts
}

// agree decides which state counts: among the ranks at the highest step the
// one that most of them hold, and of two that as many hold that of the lowest
// rank.
func agree(all []standing) (a agreement, err error) {
	a.fresh = true
	for r, s := range all {
		if s.run != all[0].run {
			return a, fmt.Errorf("rank %d trains another job than rank 0 (or with another configuration): all ranks of a run must have the same", r)
		}
		if s.has {
			a.fresh = false
			a.step = max(a.step, s.step)
		}
	}
	if a.fresh {
		return a, nil
	}
	type key struct {
		state [32]byte
		size  uint64
	}
	votes := map[key]int{}
	for _, s := range all {
		if s.has && s.step == a.step {
			votes[key{s.state, s.size}]++
		}
	}
	var best key
	for _, s := range all { // in the order of ranks: the first of equals wins
		if k := (key{s.state, s.size}); s.has && s.step == a.step && votes[k] > votes[best] {
			best = k
		}
	}
	for i, s := range all {
		r := collective.Rank(i)
		current := s.has && s.step == a.step
		if current && (key{s.state, s.size}) == best {
			if len(a.holders) == 0 || s.last > all[a.teller].last {
				a.teller = r
			}
			a.holders = append(a.holders, r)
			continue
		}
		if current {
			a.odd = append(a.odd, r)
		}
		a.behind = append(a.behind, r)
	}
	return a, nil
}

// digests are the SHA-256 of each piece of a packed state, one after another.
// The digest of the state is theirs: so pieces can be checked one by one.
func digests(packed []byte, piece int) []byte {
	n := pieces(len(packed), piece)
	list := make([]byte, n*sha256.Size)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				sum := sha256.Sum256(pieceOf(packed, piece, i))
				copy(list[i*sha256.Size:], sum[:])
			}
		})
	}
	wg.Wait()
	return list
}

// pieces is how many pieces n bytes are cut into, pieceOf one of them.
func pieces(n, piece int) int { return (n + piece - 1) / piece }

func pieceOf(b []byte, piece, i int) []byte { return b[i*piece : min((i+1)*piece, len(b))] }
