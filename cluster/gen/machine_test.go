package gen

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// table is one machine, a store that takes every write at once, and the nodes
// that are not there, played by the test.
type table struct {
	t      *testing.T
	m      *Machine
	now    time.Duration
	rev    cluster.Rev
	keys   map[string]cluster.Entry
	orders []string
	saved  Memory
	hold   bool // writes stay unanswered
	fail   error
}

func newTable(t *testing.T, min int, mem Memory) *table {
	tb := &table{t: t, keys: make(map[string]cluster.Entry)}
	tb.m = New(Config{Self: named("a", "a1"), MinNodes: min}, mem)
	return tb
}

func named(id, boot string) cluster.Node {
	return cluster.Node{ID: cluster.NodeID(id), Boot: boot, Host: "h" + id, Build: "b", Job: "j"}
}

func (tb *table) in(in Input) {
	for _, a := range append([]Action(nil), tb.m.Step(Event{At: tb.now, Of: in})...) {
		switch a := a.(type) {
		case Put:
			if tb.hold {
				continue
			}
			if tb.fail != nil {
				tb.in(Wrote{Put: a, Err: tb.fail})
				continue
			}
			tb.rev++
			tb.keys[a.Key] = cluster.Entry{Key: a.Key, Value: a.Value, Rev: tb.rev}
			tb.in(Wrote{Put: a, Rev: tb.rev})
		case Save:
			tb.saved = a.Memory
			tb.in(Saved{N: a.Memory.N})
		case Deliver:
			tb.orders = append(tb.orders, fmt.Sprintf("%v %d", a.Order.Kind, a.Order.N))
		}
	}
}

// pass lets time go by in ticks.
func (tb *table) pass(d time.Duration) {
	for end := tb.now + d; tb.now < end; {
		tb.now += 100 * time.Millisecond
		tb.in(Tick{Regular: true})
	}
}

// other writes a key in another node's name.
func (tb *table) other(key string, v any) {
	tb.rev++
	tb.keys[key] = cluster.Entry{Key: key, Value: encode(v), Rev: tb.rev}
	tb.in(Seen{tb.keys[key]})
}

func (tb *table) announce(id, boot string, step uint64) {
	x := named(id, boot)
	x.Workers, x.Step = []string{id + ":1"}, step
	tb.other(KeyNode(x.ID), Announcement{Node: x, N: tb.head().N})
}

func (tb *table) ack(id, boot string, a Ack) {
	a.Boot, a.N = boot, tb.head().N
	tb.other(KeyAck(cluster.NodeID(id)), a)
}

func (tb *table) head() *Record {
	r, err := ParseRecord(tb.keys[KeyHead].Value)
	if err != nil {
		return new(Record)
	}
	return r
}

// want checks the head, as "n phase members", and the orders since the last time.
func (tb *table) want(head, orders string) {
	tb.t.Helper()
	h := tb.head()
	got := fmt.Sprintf("%d %s", h.N, h.Phase)
	for _, x := range h.Nodes {
		got += " " + x.Boot
	}
	if got != head {
		tb.t.Fatalf("head %q (%s), want %q; %s", got, h.Cause, head, tb.m.View().Phase)
	}
	if o := strings.Join(tb.orders, ", "); o != orders {
		tb.t.Fatalf("orders %q, want %q", o, orders)
	}
	tb.orders = nil
}

// running brings a, b and c into generation 1.
func running(t *testing.T) *table {
	tb := newTable(t, 1, Memory{})
	tb.in(Tick{Regular: true})
	tb.in(Announce{Workers: []string{"a:1"}})
	tb.announce("b", "b1", 0)
	tb.announce("c", "c1", 0)
	tb.pass(2 * time.Second)
	tb.want("1 forming a1 b1 c1", "form 1")
	tb.in(Opened{1})
	tb.ack("b", "b1", Ack{Opened: true})
	tb.ack("c", "c1", Ack{Opened: true})
	tb.want("1 running a1 b1 c1", "")
	return tb
}

func TestTransitions(t *testing.T) {
	broken := func(blame cluster.NodeID, proof bool) Ack {
		return Ack{Opened: true, Broken: true, Why: "test", Blame: blame, Proof: proof}
	}
	tests := []struct {
		name         string
		do           func(tb *table)
		head, orders string
	}{
		{"nothing happens", func(tb *table) { tb.pass(time.Hour) }, "1 running a1 b1 c1", ""},
		{"one unproven blame leaves nobody out", func(tb *table) {
			tb.ack("b", "b1", broken("c", false))
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1 c1", "abort 1, form 2"},
		{"who does not take up the next is out of the one after, soon if suspected", func(tb *table) {
			tb.ack("b", "b1", broken("c", false))
			tb.pass(200 * time.Millisecond)
			tb.ack("b", "b1", Ack{})
			tb.pass(1200 * time.Millisecond)
		}, "3 forming a1 b1", "abort 1, form 2, abort 2, form 3"},
		{"a proof excludes at once", func(tb *table) {
			tb.ack("b", "b1", broken("c", true))
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1", "abort 1, form 2"},
		{"but not one that speaks for itself", func(tb *table) {
			tb.ack("b", "b1", broken("c", true))
			tb.ack("c", "c1", broken("b", true))
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1 c1", "abort 1, form 2"},
		{"two observers exclude", func(tb *table) {
			tb.ack("b", "b1", broken("c", false))
			tb.in(Broke{1, cluster.Fault{Why: "test", Blame: "c"}})
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1", "abort 1, form 2"},
		{"gossip's dead are out", func(tb *table) {
			tb.in(Heard{cluster.MemberEvent{Node: "c", Boot: "c1", Health: cluster.Dead}})
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1", "abort 1, form 2"},
		{"an earlier start's death is no news", func(tb *table) {
			tb.in(Heard{cluster.MemberEvent{Node: "c", Boot: "c0", Health: cluster.Dead}})
			tb.pass(time.Second)
		}, "1 running a1 b1 c1", ""},
		{"a node started anew is another, and comes in", func(tb *table) {
			tb.announce("c", "c2", 0)
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1 c2", "abort 1, form 2"},
		{"a joiner waits its time, then all drain", func(tb *table) {
			tb.announce("d", "d1", 0)
			tb.pass(time.Second)
			tb.want("1 running a1 b1 c1", "")
			tb.pass(5 * time.Second)
		}, "1 draining a1 b1 c1", "drain 1"},
		{"drained, the joiner is in, behind the others", func(tb *table) {
			tb.announce("aa", "aa1", 0)
			tb.pass(6 * time.Second)
			tb.ack("b", "b1", Ack{Opened: true, Drained: true})
			tb.ack("c", "c1", Ack{Opened: true, Drained: true})
			tb.in(Drained{1})
		}, "2 forming a1 b1 c1 aa1", "drain 1, form 2"},
		{"another build is no candidate", func(tb *table) {
			x := named("d", "d1")
			x.Workers, x.Build = []string{"d:1"}, "other"
			tb.other(KeyNode("d"), Announcement{Node: x})
			tb.pass(time.Minute)
		}, "1 running a1 b1 c1", ""},
		{"all done", func(tb *table) {
			tb.in(Finish{})
			tb.ack("b", "b1", Ack{Opened: true, Done: true})
			tb.ack("c", "c1", Ack{Opened: true, Done: true})
		}, "1 done a1 b1 c1", "finished 1"},
		{"a paused observer blames nobody", func(tb *table) {
			tb.pass(time.Second)
			tb.now += 10 * time.Second
			tb.in(Broke{1, cluster.Fault{Why: "all are silent", Blame: "c", Proof: true}})
			tb.pass(200 * time.Millisecond)
		}, "2 forming a1 b1 c1", "form 2"},
		{"a leader with an older term writes nothing", func(tb *table) {
			r := *tb.head()
			r.Term, r.By = 9, "b"
			tb.hold = true // its own writes are on their way for ever
			tb.other(KeyHead, &r)
			tb.ack("b", "b1", broken("c", true))
			tb.pass(time.Minute)
		}, "1 running a1 b1 c1", "abort 1"},
		{"nobody goes on from an older state than a living node holds", func(tb *table) {
			tb.announce("c", "c1", 100)
			tb.announce("b", "b1", 50)
			tb.in(Announce{Workers: []string{"a:1"}, Step: 50})
			tb.ack("b", "b1", broken("c", true))
			tb.pass(time.Second)
		}, "2 forming a1 b1 c1", "abort 1, form 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb := running(t)
			tb.t = t
			tt.do(tb)
			tb.want(tt.head, tt.orders)
		})
	}
}

func TestMinimum(t *testing.T) {
	tb := newTable(t, 2, Memory{})
	tb.in(Announce{Workers: []string{"a:1"}})
	tb.pass(time.Minute)
	tb.want("0 ", "")
	tb.announce("b", "b1", 0)
	tb.pass(2 * time.Second)
	tb.want("1 forming a1 b1", "form 1")
}

// TestMemoryRefuses: what is older, or of another chain, is refused for ever.
func TestMemoryRefuses(t *testing.T) {
	tb := running(t)
	mem := tb.saved
	strange := Record{N: 2, Phase: Forming, Term: 1, By: "b", Nodes: []cluster.Node{{ID: "b", Boot: "b1", Workers: []string{"b:1"}}}}
	again := newTable(t, 1, mem)
	again.m.cfg.Self.Boot = "a2"
	again.in(Tick{Regular: true})
	again.other(KeyHead, &strange)
	again.want("2 forming b1", "excluded 0")

	again = newTable(t, 1, mem)
	again.m.cfg.Self.Boot = "a2"
	again.in(Tick{Regular: true})
	again.in(Announce{Workers: []string{"a:1"}})
	again.pass(2 * time.Second)
	if h := again.head(); h.N != 1 || !h.Restored {
		t.Fatalf("generation %d in an empty store, restored %t; want 1, put back", h.N, h.Restored)
	}
}

func TestUnknownOutcomeIsReadAgain(t *testing.T) {
	tb := newTable(t, 1, Memory{})
	var put Put
	for _, a := range tb.m.Step(Event{Of: Tick{Regular: true}}) {
		if p, ok := a.(Put); ok && p.Key == KeyLeader {
			put = p
		}
	}
	acts := tb.m.Step(Event{At: 1, Of: Wrote{Put: put, Err: fmt.Errorf("lost")}})
	f, ok := acts[0].(Fetch)
	if !ok || f.Key != KeyLeader || f.Delay == 0 {
		t.Fatalf("%+v, want a delayed fetch of the leader's key", acts)
	}
	tb.m.Step(Event{At: 2, Of: Fetched{Fetch: f, Entry: cluster.Entry{Key: KeyLeader, Value: put.Value, Rev: 7}}})
	if !tb.m.leads() {
		t.Fatal("the write had taken place, and the node does not know")
	}
}

func TestParseRecord(t *testing.T) {
	good := Record{N: 3, Phase: Running, Nodes: []cluster.Node{{ID: "a", Workers: []string{"h:1"}}}}
	tests := []struct {
		name string
		bad  func(r *Record)
	}{
		{"no number", func(r *Record) { r.N = 0 }},
		{"no members", func(r *Record) { r.Nodes = nil }},
		{"no workers", func(r *Record) { r.Nodes[0].Workers = nil }},
		{"twice the same", func(r *Record) { r.Nodes = append(r.Nodes, r.Nodes[0]) }},
		{"unknown phase", func(r *Record) { r.Phase = "odd" }},
	}
	if _, err := ParseRecord(encode(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		r := good
		r.Nodes = append([]cluster.Node(nil), good.Nodes...)
		tt.bad(&r)
		if _, err := ParseRecord(encode(r)); err == nil {
			t.Errorf("%s: taken", tt.name)
		}
	}
	a, b := good, good
	b.Nodes = append([]cluster.Node(nil), good.Nodes...)
	b.Nodes[0].Workers = []string{"h:2"}
	if a.Link().Chain() == b.Link().Chain() {
		t.Error("the chain does not cover the workers")
	}
}

func FuzzSeen(f *testing.F) {
	f.Add(KeyHead, []byte(`{"n":1,"phase":"forming","nodes":[{"id":"a","workers":["x"]}]}`))
	f.Add(KeyLeader, []byte(`{"node":"a","term":1}`))
	f.Add(KeyNode("b"), []byte(`{"id":"b","boot":"1","workers":["x"]}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		tb := newTable(t, 1, Memory{})
		tb.in(Seen{cluster.Entry{Key: key, Value: value, Rev: 1}})
		tb.rev = 1
		tb.pass(time.Second)
	})
}
