// Package tcp is the collective of processes on several machines: each pair
// of ranks shares a few connections, and gradients go straight from the
// caller's memory to the sockets and back.
//
// # Promises
//
// Strict sums follow collective.SumTree over the ranks, bit for bit, like
// those of every other transport. Operations run in the background, in the
// order of issue, and allocate nothing once they have been seen at their
// size.
//
// Every frame carries run, generation, history, the operation and its
// signature (plan included) and a CRC-32C, and is numbered: one that was
// lost, repeated, changed, or belongs to another group ends this one with an
// error that names the link, before it is combined with anything. Ranks that
// issue different operations all learn who issued what. A rank that dies is
// noticed by the end of its connections, in milliseconds; one that is silent
// by its missing heartbeats, within Options.Silence; one that never comes by
// Options.Timeout. Whoever notices first tells all others why.
//
// Who may be in the group is decided in the handshake, which reads a fixed
// number of bytes before it trusts anyone; with TLS, which only loopback can
// do without, only ranks that present a certificate get as far as that.
//
// # How it works
//
// A rank begins an operation by telling all others its signature on their
// control links, and a short operation's data with it: each adds up all
// letters by itself, one message time for any world. Bulk data goes over data
// links in segments: scattered to the rank whose part it is, combined there,
// gathered by all, with several segments under way at any time. Two
// goroutines serve each link; there is no other thread between them and the
// caller.
//
// # What it leaves to others
//
// Who the ranks are and when they form anew (package cluster), and which
// certificates to trust. NAT, proxies and rate limits have their seam in
// Options.Dial.
//
// # Example
//
//	peers := []tcp.Peer{{Rank: 0, Addr: "10.0.0.1:7000"}, {Rank: 1, Addr: "10.0.0.2:7000"}}
//	comm, err := tcp.Open(ctx, gen, 1, peers, tcp.Options{TLS: config})
//	if err != nil { ... }
//	defer comm.Close(context.Background())
package tcp
