// Package allreduce measures sums over ranks on this machine, the way
// nccl-tests does, and beside them in one interleaved run what others make of
// it: OpenMPI, Gloo (as torch.distributed), and what the machine allows at
// most.
//
//	espalier bench allreduce --ranks 2,4 --max 256M
//
// # What is measured
//
// Ranks are processes of their own. The contenders take turns at each size;
// within a turn a contender runs a few batches of operations, in place on
// float32, and a batch counts as long as its slowest rank took. Time is that
// of one operation, the median over all batches of all turns with the
// fastest and the slowest. algbw is bytes/time; busbw is algbw*2(n-1)/n, which
// can be compared across numbers of ranks. At the start of each turn a sum of
// known values is checked on every rank, element by element (#wrong).
//
//	shm        collective/shm, in place in a region
//	tcp        collective/tcp on loopback, strict order, plain
//	ring copy  sends and receives the bytes of a ring all-reduce over the same
//	           kind of sockets, in segments, and does nothing with them
//	x += y     every rank adds one half of its memory to the other
//	mpi shm    OpenMPI, --mca btl self,vader
//	mpi tcp    OpenMPI, --mca btl self,tcp
//	gloo       torch.distributed, backend gloo
//
// Where there is a processor for each rank, each is bound to one.
//
// A contender whose program is not installed is skipped by name.
//
// # What it leaves to others
//
// A quiet machine. What other load does to a figure can be seen by its spread,
// and by that of the others in the same turns.
package allreduce
