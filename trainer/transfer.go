package trainer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
)

// leg is a piece on its way in one round of a transfer.
type leg struct {
	from, to collective.Rank
	piece    int
}

// rounds plans how holders hand n pieces to all of the ranks in behind: in a
// round each rank sends one piece at most and receives one at most. A rank
// that has got a piece hands it on in later rounds, so that one holder serves
// many. It is a pure function.
func rounds(world int, holders, behind []collective.Rank, n int) (plan [][]leg) {
	has := make([][]bool, world)
	for _, r := range holders {
		has[r] = slices.Repeat([]bool{true}, n)
	}
	for _, r := range behind {
		has[r] = make([]bool, n)
	}
	for missing := n * len(behind); missing > 0; {
		legs := round(has, holders, behind, n, len(plan))
		for _, l := range legs {
			has[l.to][l.piece] = true
		}
		missing -= len(legs)
		plan = append(plan, legs)
	}
	return plan
}

// round chooses the legs of round t. Receivers take turns in choosing first,
// and each begins at a place of its own, so that they soon have something for
// each other.
func round(has [][]bool, holders, behind []collective.Rank, n, t int) (legs []leg) {
	busy := make([]bool, len(has))
	senders := slices.Concat(behind, holders) // those who have little give it first
	for k := range behind {
		at := (k + t) % len(behind)
		to := behind[at]
		if l, ok := choose(has, busy, senders, to, at*n/len(behind), t); ok {
			busy[l.from] = true
			legs = append(legs, l)
		}
	}
	return legs
}

// choose finds the first piece from a place on that a rank lacks and another
// one can send.
func choose(has [][]bool, busy []bool, senders []collective.Rank, to collective.Rank, first, t int) (leg, bool) {
	n := len(has[to])
	for i := range n {
		p := (first + i) % n
		if has[to][p] {
			continue
		}
		for j := range senders {
			from := senders[(j+t)%len(senders)]
			if from != to && !busy[from] && has[from][p] {
				return leg{from, to, p}, true
			}
		}
	}
	return leg{}, false
}

// transfer brings the state that counts to those who lack it. packed is this
// rank's own when it holds that state; the result is the state in either case.
// A holder that sends something else than it announced is left out, and the
// others serve in its place.
func (r *Run) transfer(ctx context.Context, a agreement, s standing, packed []byte) ([]byte, error) {
	list, err := r.pieceSums(ctx, a.holders[0], s)
	if err != nil {
		return nil, err
	}
	lacks := slices.Contains(a.behind, r.info.Rank)
	if lacks {
		packed = make([]byte, s.size)
	}
	holders := a.holders
	for len(holders) > 0 {
		bad, err := r.exchange(ctx, rounds(r.info.World, holders, a.behind, pieces(int(s.size), r.piece())), packed, list)
		if err != nil {
			return nil, err
		}
		all, err := r.tell(ctx, bad)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(v int64) bool { return v > 0 }) {
			return packed, nil
		}
		before := len(holders)
		holders = slices.DeleteFunc(slices.Clone(holders), func(h collective.Rank) bool { return slices.Contains(all, int64(h)+1) })
		r.log.Error("state does not match its digest, it is fetched anew", zap.Int64s("by_rank", all), zap.Int("holders", len(holders)))
		if len(holders) == before {
			return nil, errors.New("fetch the state: a rank that handed it on altered it")
		}
	}
	return nil, fmt.Errorf("fetch the state of step %d: no rank has sent what its digest promises", s.step)
}

// pieceSums sends the digests of all pieces from one holder to everybody.
func (r *Run) pieceSums(ctx context.Context, from collective.Rank, s standing) ([]byte, error) {
	list := make([]byte, pieces(int(s.size), r.piece())*sha256.Size)
	if r.info.Rank == from {
		list = r.held.sums
	}
	if err := r.comm.Broadcast(collective.Bytes(list), from, meta(bucketDigests)).Wait(ctx); err != nil {
		return nil, err
	}
	if sha256.Sum256(list) != s.state {
		return nil, fmt.Errorf("rank %d announced another state than it has", from)
	}
	return list, nil
}

// exchange carries out a plan. bad is 1 + the first rank that sent this one a
// piece of another digest.
func (r *Run) exchange(ctx context.Context, plan [][]leg, packed, list []byte) (bad int64, err error) {
	for _, legs := range plan {
		send, recv, in := collective.Bytes(nil), collective.Bytes(nil), -1
		to, from := collective.NoRank, collective.NoRank
		for _, l := range legs {
			if l.from == r.info.Rank {
				to, send = l.to, collective.Bytes(pieceOf(packed, r.piece(), l.piece))
			}
			if l.to == r.info.Rank {
				from, in, recv = l.from, l.piece, collective.Bytes(pieceOf(packed, r.piece(), l.piece))
			}
		}
		if err := r.comm.SendRecv(send, to, recv, from, meta(bucketState)).Wait(ctx); err != nil {
			return 0, err
		}
		if in < 0 {
			continue
		}
		sum := sha256.Sum256(recv.Bytes())
		if bad == 0 && string(sum[:]) != string(list[in*sha256.Size:(in+1)*sha256.Size]) {
			bad = int64(from) + 1
		}
	}
	return bad, nil
}

// tell gathers a number of every rank.
func (r *Run) tell(ctx context.Context, v int64) ([]int64, error) {
	all := make([]int64, r.info.World)
	err := r.comm.AllGather(collective.Int64s([]int64{v}), collective.Int64s(all), meta(bucketVerdict)).Wait(ctx)
	return all, err
}

// piece is the number of bytes in which a state travels.
func (r *Run) piece() int { return int(r.cfg.BucketBytes) }

func meta(bucket int32) collective.OpMeta { return collective.OpMeta{Bucket: bucket} }
