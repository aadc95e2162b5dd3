// Package collective is the contract between a trainer and whatever carries
// its gradients: shared memory between the processes of one machine, TCP
// between machines, NCCL between GPUs, or nothing at all for a single rank.
//
// # Promises
//
// Every operation is checked before a byte is combined: ranks that issue
// different operations (kind, length, type, reduction, bucket, plan) all get
// an error that wraps [ErrDesync] and names the ranks and what they issued;
// never a hang, never a sum of unlike things. Every wait ends: by completion,
// by the deadline of its context, by the transport's own deadline, or by
// [Comm.Abort], whose cause reaches every rank. A communicator that failed
// stays failed, and all errors of it wrap [ErrAborted].
//
// Sums follow one fixed binary tree (see [SumTree]). Of V logical shards a
// rank owns a contiguous run, cut in subtrees of the tree (see [Parts]). It
// adds the shards of each part with an [Accumulator], and [Comm.SumShards]
// adds the parts of all ranks along the upper part of the same tree, so the
// bits of the result do not depend on the number of ranks, whatever that is.
//
// # Memory
//
// Gradients live in memory that the transport owns ([Comm.Alloc]), so that an
// in-place AllReduce needs no copy. [BuildLayout] cuts such a region into
// buckets in the order in which the backward pass finishes them; each bucket
// is reduced while the pass goes on. Ranks use memory symmetrically: an
// operation's buffer lies at the same offset of the same region on every
// rank, or outside any region on every rank. The parts of a SumShards, whose
// number differs from rank to rank, lie at any offsets of any regions, or all
// outside; where it is an AllReduce the one part lies as for that. So a rank
// with parts of a gradient allocates [Division.Most] arenas, as all ranks
// must, and part i of a bucket may be the bucket's range of arena i.
//
// # What it leaves to others
//
// Who the ranks are, when a group forms anew and what a step means belong to
// the cluster and the trainer. Transports live in sub-packages: solo (one
// rank), shm (processes of one machine), tcp (machines), hier (hosts of ranks);
// record is a flight recorder, codec has encodings; collectivetest is the suite that
// every transport passes.
//
// # Example
//
//	region, err := comm.Alloc(ctx, layout.Bytes)
//	grad := region.Float32s()
//	for i, b := range layout.Buckets { // as backward finishes them
//		lo, hi := b.Floats()
//		meta := collective.OpMeta{Seq: step, Bucket: int32(i), Sig: layout.Digest.Sig()}
//		works[i] = comm.AllReduce(collective.Float32s(grad[lo:hi]), collective.Sum, meta)
//	}
//	for _, w := range works {
//		if err := w.Wait(ctx); err != nil {
//			return err
//		}
//	}
package collective
