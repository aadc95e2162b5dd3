// Package hier joins two transports to one: a fast one between the ranks of a
// host (shm) and one between hosts (tcp), so that a gradient crosses the
// network once a host and not once a rank.
//
// # Promises
//
// Those of every Comm. Sums have the bits of collective.SumTree over all
// ranks, as if there were one transport: a host's ranks are a run of leaves
// that is as long as a power of two and begins at a multiple of it, so a
// subtree. Hosts of other sizes are refused by name, on every rank.
//
// # How it works
//
// Rank h*L+l is rank l of the L on host h, and rank h of a group of its own
// that joins the l-th ranks of all hosts. An operation begins with an
// exchange of its signature, within the host and then across, which also
// carries the data if that is short. After that a sum is scattered within the
// host, each rank reduces its slice across, and the results are gathered
// within the host; long buffers go in chunks, so that one chunk is on the
// network while the next is in memory.
//
// # What it leaves to others
//
// Opening the two groups; both belong to the Comm from New on. The timeout
// within the host should be the shorter one, so that who is missing is found
// by those nearest to it. Errors of both are told in the numbers of all ranks.
//
// # Example
//
//	local, err := shm.Join(file, l, shm.Options{Timeout: time.Minute})
//	across, err := tcp.Open(ctx, gen, h, peersOfIndex[l], tcp.Options{TLS: config, Timeout: 2 * time.Minute})
//	comm, err := hier.New(ctx, local, across, hier.Options{})
package hier
