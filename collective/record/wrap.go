package record

import (
	"context"

	"github.com/espalier-ml/espalier/collective"
)

// Wrap returns comm with its operations noted when they are issued, so that a
// tail tells those that wait from those that were never issued. The
// transport's Options.Observe should be r.Observe.
func (r *Recorder) Wrap(comm collective.Comm) collective.Comm {
	r.mu.Lock()
	r.info = comm.Info()
	r.mu.Unlock()
	return &wrapped{comm, r}
}

type wrapped struct {
	collective.Comm
	r *Recorder
}

// check takes an operation back if it failed at once, for its arguments.
func (w *wrapped) check(index uint64, work collective.Work) collective.Work {
	if work.Done() && alone(work.Wait(context.Background())) {
		w.r.refused(index)
	}
	return work
}

func (w *wrapped) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindAllReduce, meta, b.Size())
	return w.check(i, w.Comm.AllReduce(b, op, meta))
}

func (w *wrapped) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	bytes := 0
	if len(parts) > 0 {
		bytes = parts[0].Size()
	}
	i := w.r.issued(collective.KindAllReduce, meta, bytes)
	return w.check(i, w.Comm.SumShards(parts, shards, meta))
}

func (w *wrapped) ReduceScatter(in, out collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindReduceScatter, meta, in.Size())
	return w.check(i, w.Comm.ReduceScatter(in, out, op, meta))
}

func (w *wrapped) AllGather(in, out collective.Buf, meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindAllGather, meta, in.Size())
	return w.check(i, w.Comm.AllGather(in, out, meta))
}

func (w *wrapped) Broadcast(b collective.Buf, root collective.Rank, meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindBroadcast, meta, b.Size())
	return w.check(i, w.Comm.Broadcast(b, root, meta))
}

func (w *wrapped) Barrier(meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindBarrier, meta, 0)
	return w.check(i, w.Comm.Barrier(meta))
}

func (w *wrapped) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, meta collective.OpMeta) collective.Work {
	i := w.r.issued(collective.KindSendRecv, meta, send.Size())
	return w.check(i, w.Comm.SendRecv(send, to, recv, from, meta))
}

func (w *wrapped) Alloc(ctx context.Context, bytes int64) (collective.Region, error) {
	i := w.r.issued(collective.KindAlloc, collective.OpMeta{}, int(bytes))
	region, err := w.Comm.Alloc(ctx, bytes)
	if err != nil {
		if ctx.Err() == nil && alone(err) {
			w.r.refused(i)
		}
		return nil, err
	}
	return &wrappedRegion{region, w.r}, nil
}

type wrappedRegion struct {
	collective.Region
	r *Recorder
}

func (g *wrappedRegion) Free(ctx context.Context) error {
	i := g.r.issued(collective.KindFree, collective.OpMeta{}, 0)
	err := g.Region.Free(ctx)
	if err != nil && ctx.Err() == nil { // memory is given back after the group's end, too, when no other rank counts it
		g.r.refused(i)
	}
	return err
}
