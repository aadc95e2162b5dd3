// Package shm is the collective of processes on one Linux machine. Gradients
// lie in memory that all ranks have mapped; each rank adds its slice straight
// from every rank's arena and stores the sum in all of them. No bytes are
// copied, sent or serialised.
//
// # Promises
//
// Sums follow collective.SumTree over the ranks, bit for bit, whatever the
// buffer's place. Operations run in the background, in the order of issue,
// and allocate nothing. The memory is a memfd: it needs no file system (the
// size of /dev/shm is no limit), no other user can open it, and nothing
// remains of it when the processes are gone, however they went.
//
// A rank that dies cannot say so; whoever watches it does ([Host.Abort],
// [Host.Exited]; package launch/supervise) and every waiting rank returns at
// once. Short of that, Options.Timeout ends a wait and names the missing.
//
// # How it works
//
// The segment begins with a control page: an abort record, an arrival
// counter, and per rank two slots in which it posts the signature of its
// operation. Regions follow, each with one arena a rank. An operation on a
// region takes two barriers: all have posted (and compare signatures), all
// have reduced. Buffers elsewhere pass chunk by chunk through small staging
// areas; a short one costs a single barrier. A rank that waits spins for
// Options.Spin, then sleeps on a futex.
//
// Operations run in a goroutine of their own. Let GOMAXPROCS be one more than
// the threads that compute, so that they overlap with computation; otherwise
// each meeting of the ranks waits for a time slice.
//
// # Example
//
//	host, err := shm.Create(2, collective.Gen{})                // parent
//	cmd.ExtraFiles = []*os.File{host.File()}                    // fd 3 of the child
//	comm, err := shm.Join(os.NewFile(3, "group"), 1, shm.Options{}) // child
//
// Within one process, for tests: shm.NewGroup(2, shm.Options{}).
package shm
