package record_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/record"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// recorded is a TCP group on loopback with a recorder for each rank.
func recorded(world int, timeout time.Duration) ([]collective.Comm, []*record.Recorder, error) {
	peers, listeners := make([]tcp.Peer, world), make([]net.Listener, world)
	for r := range peers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		peers[r], listeners[r] = tcp.Peer{Rank: collective.Rank(r), Addr: ln.Addr().String()}, ln
	}
	comms, recs, errs := make([]collective.Comm, world), make([]*record.Recorder, world), make([]error, world)
	var wg sync.WaitGroup
	for r := range peers {
		recs[r] = record.New(0)
		wg.Go(func() {
			c, err := tcp.Open(context.Background(), collective.Gen{N: 5}, collective.Rank(r), peers, tcp.Options{Plain: true, Listener: listeners[r], Timeout: timeout, Observe: recs[r].Observe})
			if errs[r] = err; err == nil {
				comms[r] = recs[r].Wrap(c)
			}
		})
	}
	wg.Wait()
	return comms, recs, errors.Join(errs...)
}

// A recorded group is a group.
func TestConformance(t *testing.T) {
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{1, 3},
		Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
			comms, _, err := recorded(world, timeout)
			return comms, err
		},
	})
}

// Real faults of a real group, as its recorders tell them.
func TestVerdicts(t *testing.T) {
	meta := collective.OpMeta{Seq: 7, Bucket: 3}
	sum := func(c collective.Comm) collective.Work {
		return c.AllReduce(collective.Float32s(make([]float32, 1000)), collective.Sum, meta)
	}
	tests := []struct {
		name  string
		last  func(c collective.Comm) collective.Work // of rank 2; nil if it does nothing
		gone  bool                                    // rank 2 leaves no tail
		fault record.Fault
		ranks []collective.Rank
		text  string
	}{
		{"complete", sum, false, record.Healthy, nil, "healthy"},
		{"never arrived", nil, false, record.NeverArrived, []collective.Rank{2}, "rank 2 never arrived: allreduce seq 7 bucket 3, 4000 bytes"},
		{"different op", func(c collective.Comm) collective.Work { return c.Barrier(meta) }, false, record.DifferentOp, []collective.Rank{2}, "rank 2 issued barrier seq 7 bucket 3, 0 bytes, others allreduce seq 7 bucket 3, 4000 bytes"},
		{"dead", func(c collective.Comm) collective.Work {
			c.Abort(errors.New("killed"))
			return collective.Work{}
		}, true, record.Dead, []collective.Rank{2}, "rank 2 dead: allreduce seq 7 bucket 3, 4000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			comms, recs, err := recorded(3, 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			var wg sync.WaitGroup
			for r, c := range comms {
				wg.Go(func() {
					if err := c.Barrier(collective.OpMeta{Seq: 6}).Wait(ctx); err != nil {
						t.Error(err)
					}
					// Arguments that are bad on one rank count on none.
					if r == 1 {
						c.AllReduce(collective.Buf{}, collective.Sum, meta)
					}
					switch {
					case r < 2:
						sum(c).Wait(ctx)
					case tt.last != nil:
						tt.last(c).Wait(ctx)
					}
				})
			}
			wg.Wait()
			var tails []record.Tail
			for r, rec := range recs {
				if tail := rec.Tail(); r < 2 || !tt.gone {
					if tail.Rank != collective.Rank(r) || tail.World != 3 || tail.Gen != 5 {
						t.Errorf("tail of rank %d of %d, generation %d", tail.Rank, tail.World, tail.Gen)
					}
					tails = append(tails, tail)
				}
			}
			if v := record.Judge(3, tails); v.Fault != tt.fault || !slices.Equal(v.Ranks, tt.ranks) || v.String() != tt.text {
				t.Errorf("%s of %v: %q, want %s of %v: %q", v.Fault, v.Ranks, v, tt.fault, tt.ranks, tt.text)
			}
			for _, c := range comms {
				wg.Go(func() { c.Close(ctx) })
			}
			wg.Wait()
		})
	}
}

// Without Wrap a recorder knows what the transport tells it, which is enough
// to find who never arrived once the others have given up.
func TestObserverAlone(t *testing.T) {
	rec := record.New(0)
	comms, err := shm.NewGroup(1, shm.Options{Observe: rec.Observe})
	if err != nil {
		t.Fatal(err)
	}
	defer comms[0].Close(context.Background())
	for seq := range uint64(3) {
		if err := comms[0].Barrier(collective.OpMeta{Seq: seq}).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	tail := rec.Tail()
	if len(tail.Entries) != 3 || tail.Entries[2].Seq != 2 || !tail.Entries[2].Complete() {
		t.Errorf("tail %+v", tail)
	}
}
