// Package gossip knows which nodes of a run are there: memberlist (SWIM with
// Lifeguard) behind cluster.Members.
//
//	members, err := gossip.Join(ctx, gossip.Config{
//		Run: "fig", Node: "node-1", Boot: boot, Build: build,
//		Bind: "0.0.0.0:7946", Seeds: joined.Gossip, Credentials: joined.Credentials,
//	})
//	for e := range members.Events() { ... }
//	defer members.Close(ctx) // says goodbye; with an ended context it just goes
//
// All packets are AES-256-GCM under the run's gossip keys and labelled with
// the run. Members of another run, build or protocol are refused by both
// sides. Keys are rotated through the store ([Members.Rotate], which control
// nodes may call, and [Members.Follow], which all run) without a moment in
// which two members do not understand each other.
//
// # How soon
//
// Each member pings its neighbours (all others, up to 16 of them) four times
// a second. One that was silent for 3 s is Suspect, and Alive again with its
// next sign of life. A member that had stood still itself suspects nobody
// until it has listened for as long. Dead is decided by memberlist: probes
// once a second, directly, through three others and over TCP, then 4 s in
// which the suspect may object (longer beyond 10 nodes: 4 s times log10 n).
// So a node that is killed or stopped is Suspect after 3 to 3.5 s and Dead
// after 5 to 7 s. Round trips of up to 500 ms are no reason for suspicion; at
// 30 % loss of packets in each direction, half of all pings fail, and twelve
// in a row, which is a false suspicion, less than once in half an hour for a
// pair. Suspicion excludes nobody.
//
// # What it leaves to others
//
// It decides nothing about generations (cluster/gen). A process that ends
// shows faster on the sockets between ranks and to its own agent.
package gossip
