package trainer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
)

// at is the standing of a rank with a state.
func at(step uint64, state byte) standing {
	return standing{has: true, step: step, state: [32]byte{state}, size: 100}
}

func TestWhichStateCounts(t *testing.T) {
	none := standing{}
	told := func(s standing, last uint64) standing { s.last = last; return s }
	type ranks = []collective.Rank
	for _, c := range []struct {
		name string
		all  []standing
		want agreement
	}{
		{"nobody has any", []standing{none, none}, agreement{fresh: true}},
		{"all agree", []standing{at(3, 1), at(3, 1)}, agreement{step: 3, holders: ranks{0, 1}}},
		{"one is new", []standing{none, at(3, 1)}, agreement{step: 3, holders: ranks{1}, behind: ranks{0}, teller: 1}},
		{"one is a step behind", []standing{at(2, 9), at(3, 1), at(3, 1)}, agreement{step: 3, holders: ranks{1, 2}, behind: ranks{0}, teller: 1}},
		{"the highest step counts, not the majority", []standing{at(2, 9), at(2, 9), at(3, 1)}, agreement{step: 3, holders: ranks{2}, behind: ranks{0, 1}, teller: 2}},
		{"the majority of the highest step", []standing{at(3, 7), at(3, 1), at(3, 1)}, agreement{step: 3, holders: ranks{1, 2}, behind: ranks{0}, odd: ranks{0}, teller: 1}},
		{"the lowest rank of two opinions", []standing{none, at(3, 7), at(3, 1)}, agreement{step: 3, holders: ranks{1}, behind: ranks{0, 2}, odd: ranks{2}, teller: 1}},
		{"two against two", []standing{at(3, 7), at(3, 1), at(3, 1), at(3, 7)}, agreement{step: 3, holders: ranks{0, 3}, behind: ranks{1, 2}, odd: ranks{1, 2}}},
		{"step 0 is a state", []standing{none, at(0, 1)}, agreement{step: 0, holders: ranks{1}, behind: ranks{0}, teller: 1}},
		{"who has measured tells", []standing{told(at(3, 1), 2), told(at(3, 1), 4), told(at(3, 7), 9)}, agreement{step: 3, holders: ranks{0, 1}, behind: ranks{2}, odd: ranks{2}, teller: 1}},
		{"alone", []standing{at(3, 1)}, agreement{step: 3, holders: ranks{0}}},
	} {
		got, err := agree(c.all)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	if _, err := agree([]standing{at(1, 1), {run: [32]byte{1}}}); err == nil || !strings.Contains(err.Error(), "rank 1") {
		t.Errorf("another job: %v", err)
	}
}

func TestStandingsFromOutside(t *testing.T) {
	good := standing{run: [32]byte{1}, has: true, step: 5, plan: [32]byte{2}, state: [32]byte{3}, size: 100, last: 4, spent: 7}
	got, err := decodeStanding(good.encode(), 100)
	if err != nil || got != good {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		edit func(s *standing)
		b    func(b []byte)
	}{
		{name: "too large", edit: func(s *standing) { s.size = 101 }},
		{name: "a state of no bytes", edit: func(s *standing) { s.size = 0 }},
		{name: "account too long", edit: func(s *standing) { s.spent = maxSpent + 1 }},
		{name: "version", b: func(b []byte) { b[0]++ }},
		{name: "flag", b: func(b []byte) { b[40] = 2 }},
	} {
		s := good
		if c.edit != nil {
			c.edit(&s)
		}
		b := s.encode()
		if c.b != nil {
			c.b(b)
		}
		if got, err := decodeStanding(b, 100); err == nil {
			t.Errorf("%s: accepted as %+v", c.name, got)
		}
	}
}

// Every rank that lacks the state gets every piece once from somebody who has
// it by then, and in a round nobody sends or receives twice.
func TestTransfersReachEverybody(t *testing.T) {
	type ranks = []collective.Rank
	for _, c := range []struct {
		holders, behind ranks
		pieces, most    int // rounds
	}{
		{ranks{0}, ranks{1}, 5, 5},
		{ranks{0, 1, 2}, ranks{3}, 6, 6},
		{ranks{3, 1}, ranks{0, 2}, 8, 8},
		{ranks{2}, ranks{0, 1, 3}, 32, 36}, // one holder serves three in hardly more than its own time
		{ranks{0}, ranks{1, 2, 3, 4, 5, 6, 7}, 32, 45},
		{ranks{0, 1, 2, 3}, ranks{4, 5}, 1, 1},
		{ranks{0}, ranks{1}, 0, 0},
	} {
		world := len(c.holders) + len(c.behind)
		plan := rounds(world, c.holders, c.behind, c.pieces)
		if len(plan) > c.most {
			t.Errorf("%v to %v: %d rounds for %d pieces, want at most %d", c.holders, c.behind, len(plan), c.pieces, c.most)
		}
		has := map[leg]bool{} // by owner: leg{to: rank, piece}
		for n, legs := range plan {
			sends, receives := map[collective.Rank]bool{}, map[collective.Rank]bool{}
			for _, l := range legs {
				able := slices.Contains(c.holders, l.from) || has[leg{to: l.from, piece: l.piece}]
				if sends[l.from] || receives[l.to] || !able || has[leg{to: l.to, piece: l.piece}] || !slices.Contains(c.behind, l.to) {
					t.Fatalf("%v to %v, round %d: %v among %v", c.holders, c.behind, n, l, legs)
				}
				sends[l.from], receives[l.to] = true, true
			}
			for _, l := range legs {
				has[leg{to: l.to, piece: l.piece}] = true
			}
		}
		if len(has) != len(c.behind)*c.pieces {
			t.Errorf("%v to %v: %d pieces arrived, want %d", c.holders, c.behind, len(has), len(c.behind)*c.pieces)
		}
	}
}

// Several holders share the work.
func TestTransfersComeFromSeveralHolders(t *testing.T) {
	sent := map[collective.Rank]int{}
	for _, legs := range rounds(6, []collective.Rank{0, 1, 2}, []collective.Rank{3, 4, 5}, 30) {
		for _, l := range legs {
			sent[l.from]++
		}
	}
	for r := range collective.Rank(3) {
		if sent[r] < 10 {
			t.Errorf("rank %d sends %d of 90 pieces: %v", r, sent[r], sent)
		}
	}
}

func TestDigestsOfPieces(t *testing.T) {
	b := bytes.Repeat([]byte{1, 2, 3}, 1000)
	for _, piece := range []int{1000, 3000, 4096, 7} {
		list := digests(b, piece)
		if len(list) != pieces(len(b), piece)*32 {
			t.Fatalf("%d bytes of digests for pieces of %d", len(list), piece)
		}
		for i := range pieces(len(b), piece) {
			if sum := sha256.Sum256(pieceOf(b, piece, i)); !bytes.Equal(sum[:], list[32*i:32*i+32]) {
				t.Errorf("pieces of %d: digest %d differs", piece, i)
			}
		}
	}
}
