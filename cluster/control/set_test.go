package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// A server in a process of its own, which can be killed. It reads what it
// needs from its input and lives until that ends.
const childVariable = "ESPALIER_TEST_CONTROL_SERVER"

type childConfig struct {
	Server control.ServerConfig
	Papers []byte
}

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	var c childConfig
	err := json.NewDecoder(os.Stdin).Decode(&c)
	if err == nil {
		c.Server.Credentials, err = secure.ParseCredentials(c.Papers)
	}
	var server *control.Server
	if err == nil {
		server, err = control.StartServer(c.Server)
	}
	if err == nil {
		fmt.Println("listens")
		err = makeBucket(server, c.Server)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(io.Discard, os.Stdin)
}

func makeBucket(s *control.Server, c control.ServerConfig) error {
	kv, err := control.Connect(context.Background(), control.Config{Run: c.Run, Node: c.Node, Server: s, Credentials: c.Credentials})
	if err != nil {
		return err
	}
	return kv.Close()
}

// controlSet is three servers on 127.0.0.1, .2 and .3.
type controlSet struct {
	t        *testing.T
	run      *secure.Run
	configs  map[string]childConfig
	children map[string]*exec.Cmd
}

func newControlSet(t *testing.T) *controlSet {
	t.Helper()
	s := &controlSet{t, newRun(t), map[string]childConfig{}, map[string]*exec.Cmd{}}
	var peers []string
	for i := range 3 {
		peers = append(peers, freeAddr(t, i+1))
	}
	for i, peer := range peers {
		node := cluster.NodeID(fmt.Sprintf("node-%d", i))
		s.configs[string(node)] = childConfig{
			control.ServerConfig{Run: "fig", Node: node, Dir: t.TempDir(), Listen: freeAddr(t, i+1), Peers: peers, Routes: peer},
			issue(t, s.run, secure.Control, node).Marshal().Reveal(),
		}
	}
	for node := range s.configs {
		s.start(node)
	}
	return s
}

func (s *controlSet) start(node string) {
	s.t.Helper()
	config, err := json.Marshal(s.configs[node])
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"=1")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.children[node] = c
	s.t.Cleanup(func() { s.kill(node) })
	if _, err := in.Write(config); err != nil {
		s.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Fatalf("%s: %q, %v", node, line, err)
	}
}

func (s *controlSet) kill(node string) {
	if c := s.children[node]; c != nil {
		c.Process.Kill()
		c.Wait()
		delete(s.children, node)
	}
}

func (s *controlSet) addrs() (a []string) {
	for _, c := range s.configs {
		a = append(a, c.Server.Listen)
	}
	return a
}

func freeAddr(t *testing.T, host int) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", host))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// increment adds one to a counter, however often it must try.
func increment(ctx context.Context, t *testing.T, kv *control.KV) {
	t.Helper()
	for {
		e, err := kv.Get(ctx, "n")
		if err == nil {
			_, err = kv.Update(ctx, "n", append(e.Value, '.'), e.Rev)
		} else if errors.Is(err, cluster.ErrNotFound) {
			_, err = kv.Create(ctx, "n", nil)
		}
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("counter stands: %v", err)
		}
	}
}

func TestControlSetSurvivesTheLossOfAnyServer(t *testing.T) {
	if os.Getenv("ESPALIER_ELECTIONS") == "" {
		t.Skip("waits for elections, half a minute or more: make elections")
	}
	s := newControlSet(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	kv, err := control.Connect(ctx, control.Config{Run: "fig", Node: "node-9", Addrs: s.addrs(), Credentials: issue(t, s.run, secure.Agent, "node-9")})
	if err != nil {
		t.Fatal(err)
	}
	defer kv.Close()
	watched, err := kv.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	increment(ctx, t, kv)
	for _, victim := range []string{"leader", "leader", "follower"} {
		leader, err := kv.Leader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		node := leader
		for other := range s.configs {
			if victim == "follower" && other != leader {
				node = other
			}
		}
		begin := time.Now()
		s.kill(node)
		increment(ctx, t, kv)
		t.Logf("%s %s killed: writes go on after %v", victim, node, time.Since(begin).Round(time.Millisecond))
		s.start(node)
		increment(ctx, t, kv)
	}
	const writes = 1 + 2*3 - 1 // the first makes an empty value
	for e := range watched {
		if len(e.Value) >= writes {
			return
		}
	}
	t.Error("the watch ended")
}
