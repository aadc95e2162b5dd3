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
// Sums follow one fixed binary tree (see [SumTree]). With V logical shards on
// W ranks, both powers of two, each rank adds its own shards with an
// [Accumulator] and AllReduce adds the ranks' partial sums along the upper
// part of the same tree, so the bits of the result do not depend on W.
//
// # Memory
//
// Gradients live in memory that the transport owns ([Comm.Alloc]), so that an
// in-place AllReduce needs no copy. [BuildLayout] cuts such a region into
// buckets in the order in which the backward pass finishes them; each bucket
// is reduced while the pass goes on. Ranks use memory symmetrically: an
// operation's buffer lies at the same offset of the same region on every
// rank, or outside any region on every rank.
//
// # What it leaves to others
//
// Who the ranks are, when a group forms anew and what a step means belong to
// the cluster and the trainer. Transports live in sub-packages: solo (one
// rank), shm (processes of one machine); collectivetest is the suite that
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
