// Package agent is the process of a node that supervises its workers and
// carries out the orders of a cluster.Session: the node's half ([Agent]) and the
// worker's half ([Worker], which is the trainer's Group).
//
// # Promises
//
// Workers keep their process from one generation to the next. One that dies or
// stands still is replaced, while the others go on without it; the new one
// joins at a boundary, when it is ready. A worker that keeps dying without
// getting anywhere, and one that ends by an error of its own (a job that cannot
// work, a loss that is no number), ends the run with an error that names it
// and its last lines.
//
// The first worker keeps a copy of the state in memory that belongs to the agent.
// When all workers of a node are killed, those that follow go on from it.
//
// Of a generation that ended by a deadline, or because ranks did not do the same,
// the log says who held it up, in which operation.
//
// A request to stop is passed on once: the node leaves at a step boundary with
// its state saved. Workers whose agent dies do the same by themselves, and do
// not stay behind.
//
// # How it works
//
// Agent and worker talk over a pair of sockets, a JSON object a message. The
// memory of workers that share a node comes as a file with the order to form.
// Which transport a generation has follows from its record alone: shared memory
// on one node; both, where a power of two of nodes have the same power of two
// of workers; connections otherwise.
//
// # What it leaves to others
//
// Who trains together (cluster), bringing the state of ranks in line and what
// a boundary is (trainer), processes (supervise).
//
// # Example
//
//	// agent
//	a, err := agent.New(agent.Config{Node: "a", Workers: 2, Args: []string{"worker"}, Session: session})
//	err = a.Run(ctx)
//
//	// worker
//	w, err := agent.Attach(agent.Options{})
//	cfg.Group = w
//	res, err := trainer.Train(ctx, cfg, func(r *trainer.Run) { w.Started(r) })
//	w.End(res.Done, err, false)
package agent
