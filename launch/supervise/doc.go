// Package supervise starts the worker processes of one machine and watches
// over them: the parent's half ([Run]) and the worker's half ([Worker]).
//
// # Promises
//
// A worker that dies, however it dies, ends the others: within milliseconds
// their operations fail with collective.ErrAborted and name it, and what does
// not end by itself within Spec.Grace is killed. Run returns when no worker is
// left, and its error names the worker at fault, its exit status or signal,
// and the last lines it wrote. Workers die with the parent, even if that is
// killed. SIGTERM, SIGINT and the end of the context are a request to stop,
// passed on once as SIGTERM; a second signal kills.
//
// The output of rank 0 is the output of the run, byte for byte; on a terminal
// it is the terminal itself. That of the other ranks comes line by line with
// the rank in front.
//
// # What it leaves to others
//
// What a worker does, how ranks agree to stop at the same step, and starting
// anew after a failure. One machine only.
//
// # Example
//
//	// parent
//	err := supervise.Run(ctx, supervise.Spec{Args: []string{"worker", "job.yaml"}, World: 4})
//
//	// worker
//	comm, err := supervise.Worker(shm.Options{})
//	if err != nil { ... }
//	defer comm.Close(context.Background())
package supervise
