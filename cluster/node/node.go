// Package node runs a node's membership in a run: it is the session that an
// agent talks to, a thin shell around the machine of cluster/gen. One
// goroutine gives the machine its events (the agent's reports, the store's
// watch, gossip, the time) and does what it answers: store operations, orders
// to the agent, and the node's memory on disk.
//
//	s, err := node.New(ctx, node.Config{
//		Self: cluster.Node{ID: "a", Host: host, Build: build, Job: job}, MinNodes: 1, MaxNodes: 1,
//		Store: control.NewMemory(), // alone; several nodes share a store
//	})
//	s.Announce(addresses, 0)
//	for o := range s.Orders() { … }
//
// # Promises
//
// Methods of the session return at once, whatever the store and the disk do.
// The memory file is replaced atomically and before the node acknowledges
// anything; a damaged one is an error that names it, never a fresh start.
// Close leaves no goroutine behind and closes neither Store nor Members,
// which belong to the caller.
//
// # What it leaves to others
//
// Every decision (cluster/gen); the store and gossip (cluster/control,
// cluster/gossip); processes (launch). Time is the time package's, so tests
// run it in a testing/synctest bubble.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

// Config is what a session needs.
type Config struct {
	// Self is the node: ID, Host, Build and Job. Boot is drawn if empty;
	// Workers and Step come with Announce.
	Self cluster.Node

	MinNodes int // no generation has fewer nodes; 0 is 1
	MaxNodes int // none has more; 0 is no limit

	Store   cluster.Store
	Members cluster.Members // nil: every announced node is taken to be alive

	// Path of the file that keeps what the node must not forget over a
	// restart. Empty keeps it in the process only: good where the whole run
	// ends with this process.
	Path string

	// Times of the machine; zero values are its defaults.
	Times gen.Times
	// OpTimeout bounds one store operation; 0 is 2 s.
	OpTimeout time.Duration

	Log *zap.Logger // nil is silent
}

// session implements cluster.Session.
type session struct {
	cfg    Config
	log    *zap.Logger
	start  time.Time
	cancel context.CancelFunc
	orders queue[cluster.Order]
	events queue[event]
	done   chan struct{} // closed when nothing runs any more

	mu      sync.Mutex // guards machine
	machine *gen.Machine

	// Of the loop alone.
	wake  *time.Timer
	watch watch
	ops   sync.WaitGroup
}

// event is an input and the watch it came from, 0 if from none.
type event struct {
	in    gen.Input
	watch int
}

// New starts a session. It lasts until its last order, Close, or the end of
// ctx. The error names what is wrong with the configuration or the memory file.
func New(ctx context.Context, cfg Config) (cluster.Session, error) {
	if cfg.Self.Boot == "" {
		cfg.Self.Boot = rand.Text()
	}
	if cfg.MinNodes == 0 {
		cfg.MinNodes = 1
	}
	if cfg.OpTimeout == 0 {
		cfg.OpTimeout = 2 * time.Second
	}
	mc := gen.Config{Self: cfg.Self, MinNodes: cfg.MinNodes, MaxNodes: cfg.MaxNodes, Gossip: cfg.Members != nil, Times: cfg.Times}
	mc.Times = mc.Times.Defaults()
	if err := mc.Validate(); err != nil {
		return nil, fmt.Errorf("session of node %s: %w", cfg.Self.ID, err)
	}
	if cfg.Store == nil {
		return nil, fmt.Errorf("session of node %s: no store", cfg.Self.ID)
	}
	mem, err := Load(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("session of node %s: %w", cfg.Self.ID, err)
	}
	log := cfg.Log
	if log == nil {
		log = zap.NewNop()
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &session{
		cfg: cfg, log: log.Named("node").With(zap.String("node", string(cfg.Self.ID))),
		start: time.Now(), cancel: cancel, done: make(chan struct{}),
		machine: gen.New(mc, mem),
	}
	s.orders.init()
	s.events.init()
	go s.run(ctx, mc.Tick)
	return s, nil
}

func (s *session) Orders() <-chan cluster.Order { return s.orders.out }
func (s *session) Announce(workers []string, step uint64) {
	s.events.put(event{in: gen.Announce{Workers: workers, Step: step}})
}
func (s *session) Opened(n uint64)  { s.events.put(event{in: gen.Opened{N: n}}) }
func (s *session) Drained(n uint64) { s.events.put(event{in: gen.Drained{N: n}}) }
func (s *session) Broke(n uint64, f cluster.Fault) {
	s.events.put(event{in: gen.Broke{N: n, Fault: f}})
}
func (s *session) Leave()  { s.events.put(event{in: gen.Leave{}}) }
func (s *session) Finish() { s.events.put(event{in: gen.Finish{}}) }

func (s *session) View() cluster.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.machine.View()
	for _, r := range s.machine.History() {
		v.History = append(v.History, cluster.Reform{
			N: r.N, Cause: r.Cause, World: r.World, At: s.start.Add(r.At),
			Noticed: r.Noticed, Formed: r.Formed, Opened: r.Opened,
		})
	}
	return v
}

func (s *session) Close(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close session of node %s: %w", s.cfg.Self.ID, ctx.Err())
	}
}

// run is the loop.
func (s *session) run(ctx context.Context, tick time.Duration) {
	var helpers sync.WaitGroup
	helpers.Go(func() { s.orders.run(ctx) })
	helpers.Go(func() { s.events.run(ctx) })
	ticker := time.NewTicker(tick)
	s.wake = time.NewTimer(time.Hour)
	s.wake.Stop()
	s.rewatch(ctx)
	var gossip <-chan cluster.MemberEvent
	if s.cfg.Members != nil {
		gossip = s.cfg.Members.Events()
	}
	defer func() {
		ticker.Stop()
		s.wake.Stop()
		s.ops.Wait()
		s.cancel()
		s.watch.stop()
		helpers.Wait()
		close(s.done)
	}()
	for first := true; ; first = false {
		var e event
		if first {
			e.in = gen.Tick{Regular: true}
		} else {
			select {
			case <-ctx.Done():
				s.orders.close()
				return
			case <-ticker.C:
				e.in = gen.Tick{Regular: true}
			case <-s.wake.C:
				e.in = gen.Tick{}
			case e = <-s.events.out:
				if e.watch != 0 && e.watch != s.watch.number {
					continue
				}
			case m, ok := <-gossip:
				if !ok {
					gossip = nil
					continue
				}
				e.in = gen.Heard{Member: m}
			}
		}
		if s.step(ctx, e.in) {
			s.finish(ctx)
			return
		}
	}
}

// finish lets the last writes and orders out.
func (s *session) finish(ctx context.Context) {
	s.ops.Wait()
	s.orders.close()
	select {
	case <-s.orders.drained:
	case <-ctx.Done():
	}
}

// step gives the machine an event and does what it says. It reports the end.
func (s *session) step(ctx context.Context, in gen.Input) (ended bool) {
	at := time.Since(s.start)
	s.mu.Lock()
	actions := s.machine.Step(gen.Event{At: at, Of: in})
	ended = s.machine.Ended()
	s.mu.Unlock()
	for _, a := range actions {
		switch a := a.(type) {
		case gen.Put:
			s.ops.Go(func() { s.put(ctx, a) })
		case gen.Fetch:
			s.ops.Go(func() { s.fetch(ctx, a) })
		case gen.Rewatch:
			s.rewatch(ctx)
		case gen.Save:
			s.ops.Go(func() {
				err := Save(s.cfg.Path, a.Memory)
				s.events.put(event{in: gen.Saved{N: a.Memory.N, Err: err}})
			})
		case gen.Deliver:
			s.log.Info("order", zap.Stringer("order", a.Order.Kind), zap.Uint64("gen", a.Order.N), zap.String("cause", a.Order.Cause))
			s.orders.put(a.Order)
		case gen.Wake:
			s.wake.Reset(a.At - at)
		case gen.Note:
			s.log.Warn("membership", zap.String("note", a.Text))
		}
	}
	return ended
}

func (s *session) put(ctx context.Context, p gen.Put) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.OpTimeout)
	defer cancel()
	var rev cluster.Rev
	var err error
	if p.At == 0 {
		rev, err = s.cfg.Store.Create(ctx, p.Key, p.Value)
	} else {
		rev, err = s.cfg.Store.Update(ctx, p.Key, p.Value, p.At)
	}
	if err != nil && !errors.Is(err, cluster.ErrConflict) && !errors.Is(err, cluster.ErrExists) {
		s.log.Debug("store", zap.String("key", p.Key), zap.Error(err))
	}
	s.events.put(event{in: gen.Wrote{Put: p, Rev: rev, Err: err}})
}

func (s *session) fetch(ctx context.Context, f gen.Fetch) {
	if !sleep(ctx, f.Delay) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.OpTimeout)
	defer cancel()
	e, err := s.cfg.Store.Get(ctx, f.Key)
	s.events.put(event{in: gen.Fetched{Fetch: f, Entry: e, Err: err}})
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
