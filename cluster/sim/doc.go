// Package sim plays runs under a simulated clock, network, store and disk, and
// holds the invariants of a run against everything that happens.
//
// The nodes run the machine of production (cluster/gen). Around it are a store
// that answers late, with old values, not at all, or after having done what
// it says it could not, and that can lose all it had; networks for data,
// gossip and control that can be cut one by one, one way, and slowed; disks
// that fill up; processes that are killed, stopped and restarted; and a model
// of training that does a step when the parts of all members are in. A
// schedule of faults is drawn from a seed, and a run is a function of its
// schedule, so a failing seed is all it takes to see it again:
//
//	go test ./cluster/sim -seed 1249 -v   # tells the story of the seed
//	make sim                              # 100,000 schedules
//
// # What is checked
//
//	I1  one record for each generation, a linear chain; n and term never fall,
//	    on the store and on every disk, over restarts and loss of the store
//	I2  no step is done in a generation that another has left behind; no part of one
//	    generation or record is added in another
//	I3  members of a generation are at most one step apart
//	I4  the state at a step is that of a run without faults
//	I5  the samples consumed are those of the steps done, each once
//	I7  from whatever happened the job gets done once the faults are over
//	    and no group starts from a state older than one that a living node holds
//
// I6 and I8 to I11 are about bits, plans, checkpoints and processes: the
// tests of trainer, collective and launch hold them against the real things.
// Mutation tests switch off one rule of the protocol at a time and show that
// an invariant notices.
package sim
