package sim

import (
	"errors"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

var errUnavailable = errors.New("store unavailable")

// opTimeout is how long a node waits for the store to answer.
const opTimeout = 400 * time.Millisecond

// store is linear in what it writes and late in what it tells.
type store struct {
	w    *world
	rev  cluster.Rev
	keys map[string][]cluster.Entry // all values, oldest first
	list []string                   // keys in the order of creation
	down int                        // outages in force
	life int                        // times it was emptied
}

func newStore(w *world) *store { return &store{w: w, keys: make(map[string][]cluster.Entry)} }

// wipe empties the store. Its revisions go on or begin anew.
func (s *store) wipe() {
	s.keys, s.list = make(map[string][]cluster.Entry), nil
	if s.w.chance(0.5) {
		s.rev = 0
	}
	s.life++
	s.w.check.wiped()
}

func (s *store) last(key string) (cluster.Entry, bool) {
	if h := s.keys[key]; len(h) > 0 {
		return h[len(h)-1], true
	}
	return cluster.Entry{}, false
}

// reach reports whether a node's message gets to or from the store now.
func (s *store) reach(p *proc) bool {
	n := &s.w.net
	return s.down == 0 && n.control[p.index] == 0 && !(n.lossy > 0 && s.w.chance(0.15))
}

// put carries a write to the store and its outcome back.
func (s *store) put(p *proc, put gen.Put) {
	asked := s.w.now
	answer := func(rev cluster.Rev, err error) {
		p.input(gen.Wrote{Put: put, Rev: rev, Err: err})
	}
	timeout := func() { s.w.at(asked+opTimeout, p.alive(func() { answer(0, errUnavailable) })) }
	if !s.reach(p) {
		timeout()
		return
	}
	reply := p.alive
	s.w.after(s.w.net.delay(), func() {
		rev, err := s.apply(put)
		if !s.reach(p) || s.w.now-asked > opTimeout {
			s.w.at(asked+opTimeout, reply(func() { answer(0, errUnavailable) }))
			return
		}
		s.w.after(s.w.net.delay(), reply(func() { answer(rev, err) }))
	})
}

// apply performs a write.
func (s *store) apply(put gen.Put) (cluster.Rev, error) {
	old, ok := s.last(put.Key)
	switch {
	case put.At == 0 && ok:
		return 0, cluster.ErrExists
	case put.At != 0 && (!ok || old.Rev != put.At) && !s.w.broken.BlindWrites:
		return 0, cluster.ErrConflict
	}
	s.rev++
	e := cluster.Entry{Key: put.Key, Value: put.Value, Rev: s.rev}
	if !ok {
		s.list = append(s.list, put.Key)
	}
	s.keys[put.Key] = append(s.keys[put.Key], e)
	s.w.check.written(e)
	for _, p := range s.w.nodes {
		if p.up {
			s.show(p, e)
		}
	}
	return e.Rev, nil
}

// show carries a change to a node's watch. Behind a cut it comes with the
// present values when the cut is gone.
func (s *store) show(p *proc, e cluster.Entry) {
	if s.down > 0 || s.w.net.control[p.index] > 0 {
		p.behind = true
		return
	}
	watch := p.watch
	s.w.after(s.w.net.delay(), p.alive(func() {
		if p.watch == watch {
			p.input(gen.Seen{Entry: e})
		}
	}))
}

// present shows all values, as a new watch does.
func (s *store) present(p *proc) {
	p.behind = false
	for _, key := range s.list {
		e, _ := s.last(key)
		s.show(p, e)
	}
}

// catchUp shows the present values to nodes whose watch was cut.
func (s *store) catchUp() {
	for _, p := range s.w.nodes {
		if p.up && p.behind && s.down == 0 && s.w.net.control[p.index] == 0 {
			s.present(p)
		}
	}
}

// get reads, at times an old value.
func (s *store) get(p *proc, f gen.Fetch) {
	s.w.after(f.Delay, p.alive(func() {
		if !s.reach(p) {
			s.w.after(opTimeout, p.alive(func() { p.input(gen.Fetched{Fetch: f, Err: errUnavailable}) }))
			return
		}
		s.w.after(s.w.net.delay(), p.alive(func() {
			h := s.keys[f.Key]
			i := len(h) - 1
			if s.w.chance(0.2) {
				i -= s.w.rng.IntN(3)
			}
			out := gen.Fetched{Fetch: f, Err: cluster.ErrNotFound}
			if i >= 0 {
				out.Entry, out.Err = h[i], nil
			}
			s.w.after(s.w.net.delay(), p.alive(func() { p.input(out) }))
		}))
	}))
}
