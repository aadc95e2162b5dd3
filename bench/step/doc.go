// Package step measures training steps: forward, backward, the sum over
// workers and the optimizer's update, on synthetic data that stays in memory.
//
// It promises figures that can be compared on a shared machine. Every case
// runs in fresh processes, so that memory and start-up are its own. One thread
// is measured by processor time, which waiting for a neighbour does not
// change; more by the clock on the wall. The peak of multiply-adds of the
// processor is measured right before and after each case, and a case of two
// threads whose two processors turn out to share one core is repeated, and
// marked when that does not help.
//
// It leaves the loop with its data, checkpoints and growth to package trainer
// and the comparison with other frameworks to bench/compare. The peer's
// scripts in bench/peers print the same lines.
//
//	results, err := step.Run(ctx, step.Options{
//		Cases: []step.Case{{Model: "resnet-20", Threads: 1}},
//		Self:  []string{"bench", "step"}, // how this program reaches Main
//	})
package step
