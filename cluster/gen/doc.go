// Package gen decides which nodes of a run train together: a machine that
// turns events into actions and has no clock, goroutine or I/O of its own.
// Every node runs one; the same code runs in production (cluster/node) and
// under the simulator (cluster/sim), and its protocol is in model/ for spin.
//
//	m := gen.New(cfg, memory)
//	for ev := range events {           // ev.At is on the node's monotonic clock
//		for _, a := range m.Step(ev) { … } // write a key, keep a memory, give an order …
//	}
//
// # How it works
//
// All there is to agree on is one key of the store, gen: the record of the
// newest generation. It changes by compare-and-swap alone, and a generation
// exists if and only if its record was written. The machine never assumes
// what a write brought about: it acts on what it has read, writes under the
// revision it has read, and an error, a lost answer or a stale read costs a
// conflict and another look.
//
//	idle → forming(n) → running(n) → draining(n) → forming(n+1) …  → done
//	            └───────────┴──────────────┴─ fault → forming(n+1)
//
// The leader alone proposes. It holds the key leader and beats on it; another
// takes over with a higher term when its own clock saw no beat for
// Times.LeaderTimeout, and first of all rewrites gen with that term, after
// which the old leader's writes fail. Leadership is the right to propose and
// nothing else: a run without a leader, or without a store, trains on.
//
// A member takes up forming(n) only if the record's chain extends the one it
// has on disk, puts it on disk, and then acknowledges. What is older, or of
// another chain, it refuses for ever, whatever the store has come to say: a
// store that lost its contents gets the record back from the members, under
// a number that has not been used (see restore, accounted).
//
// A fault of any member ends a generation. Who is left out of the next:
// a node that gossip holds for dead; one blamed with proof, or by two others,
// that does not speak for itself; one that does not acknowledge in time (a
// suspect gets less of it). A single unproven blame leaves nobody out, and a
// node that was itself paused blames nobody. A node left out twice stays out
// for a while, twice as long each time.
//
// # Promises
//
// At most one record for each n, n never falls, records form a chain, over
// restarts of any node and loss of the store. No step can be completed in a
// generation once one that was formed after it has opened: for each generation
// before it, the record of a new one knows of a member that has stopped it
// (each step needs all), or has a member of it. The one exception is when all
// members were silent for Times.DisjointAfter. No group starts from a state older than
// one held by a living node outside it.
//
// # What it leaves to others
//
// Reading, writing and waiting (cluster/node). State and samples, which
// workers bring in line after they have formed (trainer). Whether a peer is
// at fault (collective, cluster/detect, cluster/gossip).
package gen
