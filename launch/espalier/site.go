package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/gossip"
	"github.com/espalier-ml/espalier/cluster/secure"
	"github.com/espalier-ml/espalier/launch/agent"
	"github.com/espalier-ml/espalier/launch/report"
)

// clusterFolder is what a node keeps of its party in the run folder.
const clusterFolder = "cluster"

// tokenLife is how long a token for a further node is good.
const tokenLife = 24 * time.Hour

// site is a node's place among the others: papers, store and gossip.
type site struct {
	run, dir, host string
	node           cluster.NodeID
	boot           string
	out            io.Writer // for people
	log            *zap.Logger

	credentials *secure.Credentials // nil in plain text
	server      *control.Server     // nil but on control nodes
	store       *control.KV
	members     *gossip.Members
	undo        []func()
}

// enter makes the first node's site, or joins that of others.
func (p *party) enter(ctx context.Context, dir, job string, out io.Writer, log *zap.Logger) (_ *site, err error) {
	s := &site{dir: filepath.Join(dir, clusterFolder), node: cluster.NodeID(p.node), boot: rand.Text(), out: out, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.host, _, err = net.SplitHostPort(p.listen); err != nil {
		return nil, usage("--listen %s: %w", p.listen, err)
	}
	if ip := net.ParseIP(s.host); p.plain && (ip == nil || !ip.IsLoopback()) {
		return nil, usage("--plain: %s is no loopback address; leave --plain out, or listen at 127.0.0.1", s.host)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if p.plain {
		return s, s.openly(ctx, p, job)
	}
	if len(p.join) == 0 {
		return s, s.found(ctx, p, job)
	}
	return s, s.follow(ctx, p)
}

// openly begins or joins a run in plain text.
func (s *site) openly(ctx context.Context, p *party, job string) error {
	s.run = runName(job, true)
	if len(p.join) > 0 {
		var seeds []string
		for _, a := range p.join {
			if g, err := gossipAddr(a); err == nil {
				seeds = append(seeds, g)
			}
		}
		if err := s.meet(ctx, p, net.JoinHostPort(s.host, "0"), seeds); err != nil {
			return err
		}
		return s.connect(ctx, p, p.join)
	}
	if err := s.serve(control.ServerConfig{Listen: p.listen, Plain: true}); err != nil {
		return err
	}
	bind, err := gossipAddr(p.listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	if err := s.meet(ctx, p, bind, nil); err != nil {
		return err
	}
	if err := s.connect(ctx, p, nil); err != nil {
		return err
	}
	s.invite(p, nil)
	return nil
}

// found begins a run as its first node.
func (s *site) found(ctx context.Context, p *party, job string) error {
	s.run = runName(job, false)
	authority, err := secure.NewRun(s.run)
	if err != nil {
		return err
	}
	if s.credentials, err = authority.Issue(secure.Control, s.node); err != nil {
		return err
	}
	s.keepValid(nil)
	if err := s.meet(ctx, p, net.JoinHostPort(s.host, "0"), nil); err != nil {
		return err
	}
	f, err := s.fortify(p)
	if err != nil {
		return err
	}
	defer f.release()
	m := newMuster(p.control, f.Post)
	gate, err := s.open(ctx, f, m)
	if err != nil {
		return err
	}
	if err := s.admit(p, authority); err != nil {
		return err
	}
	select {
	case <-m.complete:
	case <-ctx.Done():
		return agent.ErrStopped
	}
	if err := s.rule(ctx, p, f, m.set); err != nil {
		return err
	}
	return s.adopt(ctx, gate)
}

// follow joins a run that others have begun, with control or without, as the
// token says.
func (s *site) follow(ctx context.Context, p *party) error {
	token, err := p.token()
	if err != nil {
		return err
	}
	s.run = token.Run
	facts := secure.Facts{Addrs: p.join, Node: s.node, Build: buildVersion(), Patience: p.lost, Log: s.log}
	var f *fort
	if token.Role == secure.Control {
		if f, err = s.fortify(p); err != nil {
			return err
		}
		defer f.release()
		f.gate.Close() // until it can let anyone in
		facts.Post = &f.Post
	}
	joined, err := secure.Join(ctx, token, facts)
	if err != nil {
		return withCode(exitRetry, fmt.Errorf("join %s: %w", strings.Join(p.join, ", "), err))
	}
	s.credentials = joined.Credentials
	for _, post := range joined.Set {
		p.join = append(p.join, post.Gate)
	}
	s.keepValid(p.join)
	if err := s.meet(ctx, p, net.JoinHostPort(s.host, "0"), joined.Gossip); err != nil {
		return err
	}
	if f == nil {
		return s.connect(ctx, p, joined.Control)
	}
	if err := s.rule(ctx, p, f, joined.Set); err != nil {
		return err
	}
	_, err = s.open(ctx, f, newMuster(len(joined.Set), joined.Set...))
	return err
}

// keepValid renews the node's certificate for as long as it is there.
func (s *site) keepValid(gates []string) {
	renewing, stop := context.WithCancel(context.Background())
	s.later(stop)
	go s.credentials.KeepValid(renewing, secure.Facts{Addrs: gates, Node: s.node, Build: buildVersion(), Log: s.log})
}

// meet joins the members.
func (s *site) meet(ctx context.Context, p *party, bind string, seeds []string) (err error) {
	waiting, cancel := context.WithTimeout(ctx, p.lost)
	defer cancel()
	s.members, err = gossip.Join(waiting, gossip.Config{Run: s.run, Node: s.node, Boot: s.boot, Build: buildVersion(),
		Bind: bind, Seeds: seeds, Credentials: s.credentials, Plain: p.plain, Log: s.log})
	if err != nil {
		return withCode(exitRetry, fmt.Errorf("gossip: %w", err))
	}
	s.later(func() {
		leaving, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s.members.Close(leaving)
	})
	return nil
}

// connect reaches the store, in this process or at some of servers.
func (s *site) connect(ctx context.Context, p *party, servers []string) (err error) {
	waiting, cancel := context.WithTimeout(ctx, p.lost)
	defer cancel()
	s.store, err = control.Connect(waiting, control.Config{Run: s.run, Node: s.node, Server: s.server, Addrs: servers,
		Credentials: s.credentials, Plain: p.plain, Log: s.log})
	if err != nil {
		return withCode(exitRetry, fmt.Errorf("store of the run: %w", err))
	}
	s.later(func() { s.store.Close() })
	return nil
}

// serve starts a control server.
func (s *site) serve(sc control.ServerConfig) (err error) {
	sc.Run, sc.Node, sc.Dir, sc.Credentials, sc.Log = s.run, s.node, filepath.Join(s.dir, "store"), s.credentials, s.log
	if err := os.RemoveAll(sc.Dir); err != nil { // of an earlier run; checkpoints are what lasts
		return err
	}
	if s.server, err = control.StartServer(sc); err != nil {
		return fmt.Errorf("control server at %s: %w", sc.Listen, err)
	}
	s.later(func() { s.server.Close() })
	return nil
}

// gossipAddr is where gossip is in plain text: a port above the control server.
func gossipAddr(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65534 {
		return "", fmt.Errorf("port %s of the first node: want a number from 1 to 65534", port)
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1)), nil
}

// token reads the one that this node was given.
func (p *party) token() (secure.Token, error) {
	text := os.Getenv("ESPALIER_TOKEN")
	if p.tokenFile != "" {
		b, err := os.ReadFile(p.tokenFile)
		if err != nil {
			return secure.Token{}, usage("--token-file: %w", err)
		}
		text = string(bytes.TrimSpace(b))
	}
	if text == "" {
		return secure.Token{}, usage("a token is needed to join: give --token-file, a file that the first node wrote")
	}
	token, err := secure.ParseToken(text)
	if err != nil {
		return token, usage("token: %w", err)
	}
	return token, nil
}

// invite says how other nodes are started.
func (s *site) invite(p *party, tokens []string) {
	if p.max == 1 {
		return
	}
	nodes := fmt.Sprintf("%d:%d", p.min, p.max)
	if p.plain {
		fmt.Fprintf(s.out, "other nodes: espalier launch JOB --nodes %s --plain --join %s --run-dir DIR\n", nodes, p.listen)
		return
	}
	fmt.Fprintf(s.out, "other nodes: espalier launch JOB --nodes %s --join %s --token-file FILE\n", nodes, p.listen)
	for i, path := range tokens {
		kind := "node"
		if i+1 < p.control {
			kind = "node with a control server"
		}
		fmt.Fprintf(s.out, "  a token, good for one %s and %v: %s\n", kind, tokenLife, path)
	}
}

// papers are what workers of this node show to those of others, nil in plain
// text.
func (s *site) papers() []byte {
	if s.credentials == nil {
		return nil
	}
	return s.credentials.ForWorker().Reveal()
}

func (s *site) later(f func()) { s.undo = append(s.undo, f) }

func (s *site) close() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
	s.undo = nil
}

// runName is the name of a run: in plain text all nodes know it by the job.
func runName(job string, plain bool) string {
	if plain {
		return fmt.Sprintf("job-%.16s", job)
	}
	return fmt.Sprintf("run-%s", strings.ToLower(rand.Text()[:12]))
}

// buildVersion is what nodes must have in common.
func buildVersion() string { return report.CurrentEnvironment(features()).Version }

// ownAddress is an address of this machine that others may reach.
func ownAddress() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", usage("--listen: this machine has no address that others could reach; name one")
}
