package tcp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// One side of a pair is not what the other expects: both refuse and say why.
func TestOpenRefuses(t *testing.T) {
	gen := collective.Gen{Run: collective.RunID{1}, N: 5, Chain: collective.Digest{2}}
	type side struct {
		gen   collective.Gen
		self  collective.Rank
		world int
		o     tcp.Options
	}
	with := func(f func(s *side)) side {
		s := side{gen, 1, 2, tcp.Options{}}
		f(&s)
		return s
	}
	tests := []struct {
		name  string
		other side // rank 1, which dials rank 0
		words string
	}{
		{"foreign run", with(func(s *side) { s.gen.Run[0] = 9 }), "run 0900"},
		{"older generation", with(func(s *side) { s.gen.N = 4 }), "generation 4, want 5"},
		{"another history", with(func(s *side) { s.gen.Chain[0] = 9 }), "another history"},
		{"another world", with(func(s *side) { s.world = 3 }), "world of 3 ranks, want 2"},
		{"another configuration", with(func(s *side) { s.o.Config[0] = 7 }), "configuration 07"},
		{"other sockets", with(func(s *side) { s.o.Sockets = 3 }), "7 links a pair of ranks, want 3"},
		{"other segments", with(func(s *side) { s.o.Segment = 1 << 16 }), "segments of 65536 bytes"},
		{"other order", with(func(s *side) { s.o.Order = tcp.Fast }), "fast order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peers, listeners, err := addresses(3)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := tcp.Open(ctx, gen, 0, peers[:2], tcp.Options{Plain: true, Listener: listeners[0]})
				if err == nil || !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), "no connection with rank 1") {
					t.Errorf("rank 0: %v, want %q", err, tt.words)
				}
			})
			o := tt.other.o
			o.Plain, o.Listener = true, listeners[1]
			_, err = tcp.Open(ctx, tt.other.gen, tt.other.self, peers[:tt.other.world], o)
			if !errors.Is(err, tcp.ErrRefused) || !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), "rank 0 at 127.0.0.1") {
				t.Errorf("rank 1: %v, want %q", err, tt.words)
			}
			cancel()
			wg.Wait()
			listeners[2].Close()
		})
	}
}

func TestOpenChecksItsArguments(t *testing.T) {
	two := []tcp.Peer{{Rank: 0, Addr: "127.0.0.1:1"}, {Rank: 1, Addr: "127.0.0.1:2"}}
	plain := tcp.Options{Plain: true}
	tests := []struct {
		name  string
		self  collective.Rank
		peers []tcp.Peer
		o     tcp.Options
		words string
	}{
		{"no peers", 0, nil, plain, "0 peers, want 1 to 64"},
		{"outside", 2, two, plain, "rank 2 in a world of 2"},
		{"same rank twice", 0, []tcp.Peer{two[0], two[0]}, plain, "peer of rank 0 twice"},
		{"no port", 0, []tcp.Peer{{Rank: 0, Addr: "127.0.0.1"}}, plain, "address of rank 0"},
		{"neither TLS nor plain", 0, two, tcp.Options{}, "Plain must be asked for"},
		{"plain beyond loopback", 0, []tcp.Peer{{Rank: 0, Addr: "10.0.0.1:1"}}, plain, "plain text is for loopback only"},
		{"plain by name", 0, []tcp.Peer{{Rank: 0, Addr: "node1:1"}}, plain, "plain text is for loopback only"},
		{"sockets", 0, two, tcp.Options{Plain: true, Sockets: 99}, "99 sockets"},
		{"segment", 0, two, tcp.Options{Plain: true, Segment: 5}, "segments of 5 bytes"},
		{"short", 0, two, tcp.Options{Plain: true, Short: 1 << 20}, "1048576 bytes, want 0 to 32768"},
		{"order", 0, two, tcp.Options{Plain: true, Order: 9}, "order(9)"},
		{"silence", 0, two, tcp.Options{Plain: true, Silence: time.Millisecond}, "silence of 1ms, want at least 3 heartbeats"},
		{"negative", 0, two, tcp.Options{Plain: true, Timeout: -1}, "timeout -1ns"},
	}
	for _, tt := range tests {
		if _, err := tcp.Open(context.Background(), collective.Gen{}, tt.self, tt.peers, tt.o); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.words)
		}
	}
}

// refusals is a logger that passes on the reasons of refused connections.
func refusals() (*zap.Logger, chan string) {
	reasons := make(chan string, 100)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(sink(reasons)), zap.WarnLevel)
	return zap.New(core), reasons
}

type sink chan string

func (s sink) Write(b []byte) (int, error) {
	select {
	case s <- string(b):
	default:
	}
	return len(b), nil
}

// Strangers are turned away, and the group forms.
func TestStrangersAreRefused(t *testing.T) {
	peers, listeners, err := addresses(2)
	if err != nil {
		t.Fatal(err)
	}
	log, reasons := refusals()
	comms := make([]collective.Comm, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := tcp.Open(context.Background(), collective.Gen{}, 0, peers, tcp.Options{Plain: true, Listener: listeners[0], Log: log})
		if err != nil {
			t.Error(err)
		}
		comms[0] = c
	})
	strangers := []struct{ says, words string }{
		{"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: " + strings.Repeat("x", 300) + "\r\n\r\n", `greets with`},
		{"hi", "EOF"},
		{strings.Repeat("\x00", 128), "not a rank"},
		{"espalier\x09\x00" + strings.Repeat("\x00", 200), "protocol version 9, want 3"},
		{"espalier\x03\x00" + strings.Repeat("\x00", 200), "wrong checksum"},
	}
	for _, s := range strangers {
		conn, err := net.Dial("tcp", peers[0].Addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(s.says))
		conn.(*net.TCPConn).CloseWrite()
		if reason := <-reasons; !strings.Contains(reason, s.words) {
			t.Errorf("%q: logged %s, want %q", s.says[:2], reason, s.words)
		}
		conn.Close()
	}
	idle, err := net.Dial("tcp", peers[0].Addr) // who says nothing hinders nobody
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	c, err := tcp.Open(context.Background(), collective.Gen{}, 1, peers, tcp.Options{Plain: true, Listener: listeners[1]})
	if err != nil {
		t.Fatal(err)
	}
	comms[1] = c
	wg.Wait()
	each(comms, func(c collective.Comm) {
		if err := wait(c.Barrier(collective.OpMeta{})); err != nil {
			t.Error(err)
		}
		c.Close(context.Background())
	})
}

// A rank that is a generation ahead waits for the others to follow.
func TestAheadByAGeneration(t *testing.T) {
	peers, listeners, err := addresses(2)
	if err != nil {
		t.Fatal(err)
	}
	log, reasons := refusals()
	old, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	comms := make([]collective.Comm, 2)
	wg.Go(func() {
		if _, err := tcp.Open(old, collective.Gen{N: 3}, 0, peers, tcp.Options{Plain: true, Listener: listeners[0], Log: log}); err == nil {
			t.Error("generations 3 and 4 form a group")
		}
		c, err := tcp.Open(context.Background(), collective.Gen{N: 4}, 0, peers, tcp.Options{Plain: true})
		if err != nil {
			t.Error(err)
		}
		comms[0] = c
	})
	wg.Go(func() {
		c, err := tcp.Open(context.Background(), collective.Gen{N: 4}, 1, peers, tcp.Options{Plain: true, Listener: listeners[1]})
		if err != nil {
			t.Error(err)
		}
		comms[1] = c
	})
	if reason := <-reasons; !strings.Contains(reason, "a later generation: 4, want 3") {
		t.Errorf("logged %s", reason)
	}
	cancel()
	wg.Wait()
	each(comms, func(c collective.Comm) {
		if err := wait(c.Barrier(collective.OpMeta{})); err != nil {
			t.Error(err)
		}
		c.Close(context.Background())
	})
}

// A rank that nobody joins says who is missing.
func TestNobodyComes(t *testing.T) {
	peers, listeners, err := addresses(3)
	if err != nil {
		t.Fatal(err)
	}
	listeners[0].Close()
	listeners[2].Close()
	_, err = tcp.Open(context.Background(), collective.Gen{}, 1, peers, tcp.Options{Plain: true, Listener: listeners[1], Connect: 20 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no connection with rank 0 ("+peers[0].Addr+"), 2 (") {
		t.Errorf("error %v", err)
	}
}
