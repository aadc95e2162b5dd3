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
	log            *zap.Logger

	credentials *secure.Credentials // nil in plain text
	server      *control.Server     // nil but on the first node
	store       *control.KV
	members     *gossip.Members
	tokens      []string // files with tokens for others
	undo        []func()
}

// enter makes the first node's site, or joins that of others.
func (p *party) enter(ctx context.Context, dir, job string, log *zap.Logger) (_ *site, err error) {
	s := &site{dir: filepath.Join(dir, clusterFolder), node: cluster.NodeID(p.node), boot: rand.Text(), log: log}
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
	if len(p.join) == 0 {
		return s, s.found(ctx, p, job)
	}
	return s, s.follow(ctx, p, job)
}

// found begins a run as its first node.
func (s *site) found(ctx context.Context, p *party, job string) error {
	s.run = runName(job, p.plain)
	data := filepath.Join(s.dir, "store")
	if err := os.RemoveAll(data); err != nil { // of an earlier run; checkpoints are what lasts
		return err
	}
	sc := control.ServerConfig{Run: s.run, Node: s.node, Dir: data, Listen: p.listen, Plain: p.plain, Log: s.log}
	var authority *secure.Run
	if !p.plain {
		var err error
		if authority, err = secure.NewRun(s.run); err != nil {
			return err
		}
		if s.credentials, err = authority.Issue(secure.Control, s.node); err != nil {
			return err
		}
		sc.Listen, sc.Credentials = net.JoinHostPort(s.host, "0"), s.credentials // the gate has the address
	}
	var err error
	if s.server, err = control.StartServer(sc); err != nil {
		return fmt.Errorf("control server at %s: %w", sc.Listen, err)
	}
	s.later(func() { s.server.Close() })
	if p.plain {
		return s.settle(ctx, p, nil, nil)
	}
	return s.guard(ctx, p, authority)
}

// guard opens the gate for other nodes and writes their tokens.
func (s *site) guard(ctx context.Context, p *party, authority *secure.Run) error {
	l, err := net.Listen("tcp", p.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	p.listen = l.Addr().String()
	gate, err := secure.NewGate(secure.GateConfig{Credentials: s.credentials, Build: buildVersion(), Log: s.log,
		Contact: func() (ctl, gos []string) {
			if s.members != nil {
				gos = []string{s.members.Addr()}
			}
			return []string{s.server.Addr()}, gos
		}})
	if err != nil {
		l.Close()
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() { defer close(served); gate.Serve(serving, l) }()
	s.later(func() { stop(); <-served })
	if err := s.settle(ctx, p, nil, nil); err != nil {
		return err
	}
	if err := gate.Adopt(ctx, s.store); err != nil {
		return err
	}
	for i := range p.max - 1 {
		token, err := authority.Token(secure.Agent, tokenLife)
		if err != nil {
			return err
		}
		path := filepath.Join(s.dir, "token-"+strconv.Itoa(i+1))
		if err := os.WriteFile(path, []byte(token.Reveal()+"\n"), 0o600); err != nil {
			return err
		}
		s.tokens = append(s.tokens, path)
	}
	return nil
}

// follow joins a run that others have begun.
func (s *site) follow(ctx context.Context, p *party, job string) error {
	if p.plain {
		s.run = runName(job, true)
		var seeds []string
		for _, a := range p.join {
			if g, err := gossipAddr(a); err == nil {
				seeds = append(seeds, g)
			}
		}
		return s.settle(ctx, p, p.join, seeds)
	}
	token, err := p.token()
	if err != nil {
		return err
	}
	s.run = token.Run
	joined, err := secure.Join(ctx, token, secure.Facts{Addrs: p.join, Node: s.node, Build: buildVersion(), Patience: p.lost, Log: s.log})
	if err != nil {
		return withCode(exitRetry, fmt.Errorf("join %s: %w", strings.Join(p.join, ", "), err))
	}
	s.credentials = joined.Credentials
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.later(stop)
	go s.credentials.KeepValid(renewing, secure.Facts{Addrs: p.join, Node: s.node, Build: buildVersion(), Log: s.log})
	return s.settle(ctx, p, joined.Control, joined.Gossip)
}

// settle connects with the store and with the members.
func (s *site) settle(ctx context.Context, p *party, servers, seeds []string) (err error) {
	waiting, cancel := context.WithTimeout(ctx, p.lost)
	defer cancel()
	s.store, err = control.Connect(waiting, control.Config{Run: s.run, Node: s.node, Server: s.server, Addrs: servers,
		Credentials: s.credentials, Plain: p.plain, Log: s.log})
	if err != nil {
		return withCode(exitRetry, fmt.Errorf("store of the run: %w", err))
	}
	s.later(func() { s.store.Close() })
	bind := net.JoinHostPort(s.host, "0")
	if p.plain && s.server != nil {
		if bind, err = gossipAddr(p.listen); err != nil {
			return usage("--listen: %w", err)
		}
	}
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
func (s *site) invite(w io.Writer, name string, p *party) {
	if s.server == nil || p.max == 1 {
		return
	}
	nodes := fmt.Sprintf("%d:%d", p.min, p.max)
	if p.plain {
		fmt.Fprintf(w, "other nodes: espalier launch JOB --nodes %s --plain --join %s --run-dir DIR\n", nodes, p.listen)
		return
	}
	fmt.Fprintf(w, "other nodes: espalier launch JOB --nodes %s --join %s --token-file FILE\n", nodes, p.listen)
	for _, path := range s.tokens {
		fmt.Fprintf(w, "  a token, good for one node and %v: %s\n", tokenLife, path)
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
