// Package control holds the stores in which a run keeps its generations.
//
// All of them are a [cluster.Store]: a small key-value store with
// compare-and-swap. [KV] is a bucket of NATS JetStream, in servers that
// control nodes embed ([StartServer]) or in servers that exist already.
// [Memory] lives in one process and has hooks for faults; it serves tests.
// Package storetest is the suite that every store passes.
//
//	server, err := control.StartServer(control.ServerConfig{...}) // on control nodes
//	store, err := control.Connect(ctx, control.Config{Run: "fig", Server: server, ...})
//	rev, err := store.Create(ctx, "gen", record)     // ErrExists if another was first
//	rev, err = store.Update(ctx, "gen", next, rev)   // ErrConflict if it changed since
//
// # The control set
//
// One or three nodes embed a server; which ones is fixed when the run begins.
// With three, any one may die: its contents are on the others. While its
// successor as leader of the bucket is elected, writes fail with
// [ErrUnavailable] for the 4 to 9 s that NATS waits before an election (less
// after an orderly end); training does not wait for it. Every write is on disk before it is
// acknowledged.
//
// A server whose disk was full, or failed otherwise, stores nothing more even
// when there is room again. That is noticed, and as soon as its folder takes
// files again the server is replaced by another on the same folder. Clients
// reconnect by themselves.
//
// # What a store promises
//
// Of all Creates of a key one succeeds; of all Updates of a key at one
// revision one succeeds. Revisions rise. Get and Watch may be behind: decide
// on the success of a write, never on a read. An error that is none of
// [cluster.ErrNotFound], [cluster.ErrExists] and [cluster.ErrConflict] leaves
// open whether a write took place. Every call is bounded in time, by its
// context and by the store itself. Keys and values are bounded, see
// [CheckKey] and [MaxValue].
//
// # What it leaves to others
//
// What the keys mean (cluster/gen, cluster/node), and who may write them
// (cluster/secure).
package control

import "errors"

// What stores report beside the errors of package cluster.
var (
	ErrKey         = errors.New("not a key")
	ErrTooLarge    = errors.New("value too large")
	ErrClosed      = errors.New("store is closed")
	ErrUnavailable = errors.New("store is not available")
)
