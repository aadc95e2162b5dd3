// Package field is a ground for trials with real processes: nodes in network
// namespaces of their own on one bridge, whose links can be cut, or on
// loopback addresses where namespaces are not permitted.
//
//	f, err := field.New(field.Config{Binary: "./espalier", Dir: dir, Nodes: 3})
//	defer f.Close()
//	err = f.Nodes[0].Start("launch", "job.yaml", ...)
//	f.Nodes[0].Signal(syscall.SIGKILL)      // the agent
//	f.Nodes[1].Workers()                    // pids of its workers
//	f.Nodes[2].Cut(true)                    // nothing reaches it any more
//
// Close kills every process and removes every namespace that the field made;
// Leftovers says what of them is still there.
package field
