// Package detect tells a slow peer from a dead one, and a dead peer from an
// observer that was stopped itself.
//
// It is arithmetic on times that the caller hands in, which makes it the same
// under a simulated clock. Only differences count; hand in monotonic times.
//
//	guard := detect.NewGuard(200 * time.Millisecond)
//	for now := range ticker.C {
//		if stood := guard.Tick(now); stood > 0 {
//			// this process was stopped: forget suspicions, probe anew
//		}
//	}
//
//	limit := detect.NewLimit(time.Second, time.Minute)
//	limit.Observe(took)             // after each operation
//	deadline := limit.Value()       // for the next
//
// What a deadline is put on, and what is done about those who miss it, is
// left to the caller.
package detect
