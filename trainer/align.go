package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Buckets of the operations with which ranks bring their state in line, after
// those of the step.
const (
	bucketStanding = -3 - iota
	bucketAccount
	bucketDigests
	bucketState
	bucketVerdict
)

// held is the committed state of a run outside of a network.
type held struct {
	checkpoint.Packed // Bytes are nil until they are needed
	spent             spent
	sums              []byte // digests of the pieces of Bytes
}

// pack makes the bytes of the state and their digests.
func (h *held) pack(piece int) error {
	if h.Bytes == nil {
		p, err := checkpoint.Pack(h.State, nil, func(i int, dst []byte) error {
			copy(dst, h.State.Tensors[i].Data)
			return nil
		})
		if err != nil {
			return err
		}
		h.Packed = p
	}
	h.sums = digests(h.Bytes, piece)
	return nil
}

// align makes all ranks of a generation hold the same state, or none: they
// tell each other where they stand, and those who lack the state that counts
// fetch it from the others.
func (r *Run) align(ctx context.Context) error {
	if r.info.World == 1 {
		r.adopt()
		return nil
	}
	all, account, err := r.standings(ctx)
	if err != nil {
		return err
	}
	a, err := agree(all)
	if err != nil || a.fresh {
		return err
	}
	r.warn(a, all)
	told, err := r.account(ctx, a, all, account)
	if err != nil {
		return err
	}
	if len(a.behind) > 0 {
		if err := r.fetch(ctx, a, all[a.holders[0]]); err != nil {
			return err
		}
	}
	r.held.spent = told
	r.adopt()
	return nil
}

// standings gathers where all ranks stand; account is this one's own.
func (r *Run) standings(ctx context.Context) (all []standing, account []byte, err error) {
	mine := standing{run: r.identity}
	if h := r.held; h != nil {
		if err := h.pack(r.piece()); err != nil {
			return nil, nil, err
		}
		if account, err = json.Marshal(h.spent); err != nil {
			return nil, nil, err
		}
		mine.has, mine.step, mine.size, mine.spent = true, h.State.Meta.Step, uint64(len(h.Bytes)), uint64(len(account))
		mine.plan, mine.state = sha256.Sum256(h.State.Meta.Plan), sha256.Sum256(h.sums)
		if h.spent.Eval != nil {
			mine.last = uint64(h.spent.Eval.Step) + 1
		}
	}
	sent := make([]byte, standingBytes*r.info.World)
	if err := r.comm.AllGather(collective.Bytes(mine.encode()), collective.Bytes(sent), meta(bucketStanding)).Wait(ctx); err != nil {
		return nil, nil, err
	}
	for i := range r.info.World {
		s, err := decodeStanding(sent[i*standingBytes:(i+1)*standingBytes], r.largest)
		if err != nil {
			return nil, nil, fmt.Errorf("rank %d: %w", i, err)
		}
		all = append(all, s)
	}
	return all, account, nil
}

// warn names the ranks that have another state than they should.
func (r *Run) warn(a agreement, all []standing) {
	for _, odd := range a.odd {
		what := "values"
		if all[odd].plan != all[a.holders[0]].plan {
			what = "shape of the network"
		}
		r.log.Error("rank out of line: its state is replaced", zap.Int("odd_rank", int(odd)), zap.Uint64("step", a.step),
			zap.String("differs_in", what), zap.Int("holders", len(a.holders)))
	}
}

// account is what the teller has spent, on every rank.
func (r *Run) account(ctx context.Context, a agreement, all []standing, own []byte) (s spent, err error) {
	buf := make([]byte, all[a.teller].spent)
	if r.info.Rank == a.teller {
		buf = own
	}
	if err := r.comm.Broadcast(collective.Bytes(buf), a.teller, meta(bucketAccount)).Wait(ctx); err != nil {
		return s, err
	}
	if err := json.Unmarshal(buf, &s); err != nil {
		return s, fmt.Errorf("account of rank %d: %w", a.teller, err)
	}
	return s, nil
}

// fetch takes part in the transfer of the state that counts.
func (r *Run) fetch(ctx context.Context, a agreement, s standing) error {
	var own []byte
	if slices.Contains(a.holders, r.info.Rank) {
		own = r.held.Bytes
	}
	packed, err := r.transfer(ctx, a, s, own)
	if err != nil || own != nil {
		return err
	}
	p, err := checkpoint.Unpack(packed)
	if err != nil {
		return err
	}
	r.held = &held{Packed: p}
	r.log.Info("state fetched", zap.Uint64("step", a.step), zap.Int("bytes", len(packed)), zap.Int("holders", len(a.holders)))
	return nil
}

// adopt takes over the account of the state that is held.
func (r *Run) adopt() {
	if r.held == nil {
		return
	}
	s := r.held.spent
	r.flops, r.last = s.Flops, s.Eval
	if r.since.IsZero() {
		r.before = time.Duration(s.Seconds * float64(time.Second))
	}
}

// identify makes the digest of all that a run is a function of, and the bound
// of its states' size.
func (r *Run) identify(full *graph.Graph) error {
	c := &r.cfg
	var names []string
	for _, m := range c.Methods {
		names = append(names, m.Name())
	}
	b, err := json.Marshal(struct {
		Model                    models.Spec
		Sizes                    graph.Sizes
		Seed                     uint64
		Shards                   int
		Timeline                 []Phase
		Optim                    optim.Config
		Schedule                 optim.Schedule
		Restarts                 []uint64
		Clip                     float64
		Methods                  []string
		Samples, Tests, EvalRows int
		EvalEvery                uint64
		BucketBytes              int64
		Job                      string
	}{c.Model, c.Sizes, c.Seed, c.Shards, c.Timeline, c.Optim, c.Schedule, c.Restarts, c.Clip, names,
		c.Train.Samples(), c.Test.Samples(), c.EvalRows, c.EvalEvery, c.BucketBytes, c.Job})
	if err != nil {
		return fmt.Errorf("digest of the configuration: %w", err)
	}
	r.identity = sha256.Sum256(b)
	// What methods add to the parameters (masks, kept copies) is not known
	// here; nothing legitimate is four times as large.
	params := uint64(full.ParamCount())
	r.largest = 64<<20 + 4*4*params*uint64(2+len(c.Optim.Slots()))
	return nil
}
