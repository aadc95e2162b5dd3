// Package secure is who may take part in a run, and how the others know.
//
// Each run has a certificate authority of its own, made by the first node at
// launch. A node gets in with a token that works once, and receives a
// certificate that says its run, role and name, valid for two days and
// renewed in time; the key of its role for NATS; and the gossip keys.
//
//	run, err := secure.NewRun("fig")                          // first node
//	self, err := run.Issue(secure.Control, "node-0")          // its own papers
//	token, err := run.Token(secure.Agent, time.Hour)          // for one more node
//	gate := secure.NewGate(secure.GateConfig{Credentials: self, ...})
//	go gate.Serve(ctx, listener)
//	err = gate.Adopt(ctx, store)                              // once there is a store
//
//	token, err := secure.ParseToken(text)                     // any other node
//	joined, err := secure.Join(ctx, token, secure.Facts{Addrs: addrs, Node: "node-1", Build: build})
//
// Where several nodes hold control servers, each must know where the others are
// before any server starts: a control node that joins says so ([Post]), and is
// let in when all of them have come (GateConfig.Muster).
//
// # Links
//
// All links are TLS 1.3 with certificates on both sides. Names of hosts do not
// matter: a certificate names a node of a run, and [Credentials.TLS] takes the
// roles that may be at the other end:
//
//	control servers to clients   self.TLS(Control, Agent, Observer, Operator)
//	clients to control servers   self.TLS(Control)
//	control servers among them   self.TLS(Control)
//	ranks among them             self.TLS(Control, Agent), and VerifyNode for the rank
//
// # What it promises
//
// An attacker on the network without access to a host can neither join, nor
// read, nor change, nor repeat a token. Of a token that is used, nothing is
// sent but a keyed hash bound to the connection. Secrets print as [secret]
// however they are printed. What comes from outside is bounded before it is
// read. Every refusal is one of the errors of this package.
//
// # What it leaves to others
//
// The holder of a control node's files can let anyone in: protect those
// hosts. Agents are trusted to tell the truth about training; any of them may
// lead. There is no list of revoked certificates; they are short-lived.
// Which subjects a role may use is in cluster/control; where papers are kept
// between starts is up to launch (a file of mode 0600).
package secure
