package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Saver writes checkpoints in the background. Begin copies the state and
// returns; training waits for the copy alone, never for the disk.
//
// There are two buffers: one being written, one waiting. If a state is
// waiting when the next comes, the newer one takes its place (a slow disk
// makes checkpoints rarer, not training slower). Wait after Begin makes sure
// that a certain state is written.
//
// A save that fails is logged, and the next state is tried all the same: a
// full disk is no reason to stop training. Wait and Close return the error of
// the newest save, if it failed.
//
// Begin may be called by one goroutine at a time; the other methods by any.
// No goroutine is left when all is written.
type Saver struct {
	cfg SaverConfig
	log *zap.Logger

	mu      sync.Mutex
	next    *snapshot     // waiting to be written
	free    []*snapshot   // with next, active and the one Begin fills: two at most
	idle    chan struct{} // closed when the writer ends; nil if none runs
	err     error         // of the newest save
	failing bool          // the last save failed
	stats   SaverStats
	closed  bool
}

// Begin copies st and has it written in the background. What st refers to may
// change as soon as Begin returns. An error is about st, of which
// nothing was begun: errors.Is(err, ErrSnapshot); or the Saver is closed.
func (s *Saver) Begin(st State) error {
	for _, t := range st.Tensors {
		if err := t.checkLength(); err != nil {
			return refused(st, err)
		}
	}
	return s.BeginFunc(st, func(i int, dst []byte) { copy(dst, st.Tensors[i].Data) })
}

func refused(st State, err error) error {
	return fmt.Errorf("checkpoint: step %d: %w: %w", st.Meta.Step, ErrSnapshot, err)
}

// BeginFunc is Begin for values that aren't bytes: the Data of st.Tensors are
// not looked at; fill(i, dst) writes those of tensor i instead (PutFloat32s).
// It is called for each tensor in order, before BeginFunc returns.
func (s *Saver) BeginFunc(st State, fill func(i int, dst []byte)) error {
	start := time.Now()
	if err := errors.Join(checkLayout(st.Tensors), st.Meta.check()); err != nil {
		return refused(st, err)
	}
	snap, err := s.buffer()
	if err != nil {
		return err
	}
	if err := snap.take(st, fill); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free = append(s.free, snap)
		return refused(st, err)
	}
	snap.blocked = time.Since(start)
	s.enqueue(snap)
	return nil
}

// buffer returns the memory for the next snapshot: that of the one waiting,
// if there is one, which is given up.
func (s *Saver) buffer() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if snap := s.next; snap != nil {
		s.next = nil
		s.stats.Superseded++
		s.log.Warn("checkpoint given up for a newer one: saving is slower than its interval",
			zap.Uint64("step", snap.state.Meta.Step))
		return snap, nil
	}
	if n := len(s.free); n > 0 {
		snap := s.free[n-1]
		s.free = s.free[:n-1]
		return snap, nil
	}
	return &snapshot{}, nil
}

func (s *Saver) enqueue(snap *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = snap
	s.stats.Blocked += snap.blocked
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.write()
	}
}

// write is the writer: it ends when nothing waits.
func (s *Saver) write() {
	for {
		s.mu.Lock()
		snap := s.next
		s.next = nil
		if snap == nil {
			close(s.idle)
			s.idle = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		report := s.save(snap)
		s.finish(snap, report)
	}
}

func (s *Saver) save(snap *snapshot) *Report {
	start := time.Now()
	r := &Report{Step: snap.state.Meta.Step, Blocked: snap.blocked}
	for _, t := range snap.state.Tensors {
		r.Bytes += int64(len(t.Data))
	}
	r.Path, r.Err = s.cfg.Save(snap.state)
	if r.Err == nil && s.cfg.Keep > 0 {
		r.Err = s.cfg.Prune(s.cfg.Keep)
	}
	r.Took = time.Since(start)
	return r
}

func (s *Saver) finish(snap *snapshot, r *Report) {
	s.mu.Lock()
	s.free = append(s.free, snap)
	if r.Path == "" {
		s.stats.Failed++
	} else {
		s.stats.Saved++
	}
	s.err = r.Err
	healed := s.failing && r.Err == nil
	s.failing = r.Err != nil
	s.mu.Unlock()

	switch {
	case r.Err != nil: // returned to the caller only if no later one succeeds
		s.log.Warn("checkpoint failed", zap.Uint64("step", r.Step), zap.Error(r.Err))
	case healed:
		s.log.Warn("checkpoints succeed again", zap.Uint64("step", r.Step))
	}
	s.log.Debug("checkpoint", zap.Uint64("step", r.Step), zap.Int64("bytes", r.Bytes),
		zap.Duration("blocked", r.Blocked), zap.Duration("took", r.Took))
	if s.cfg.Done != nil {
		s.cfg.Done(r)
	}
}

// Wait returns when everything begun is written, or ctx ends. The error is that
// of the newest save: what failed before it has been made good.
func (s *Saver) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		idle := s.idle
		if idle == nil {
			defer s.mu.Unlock()
			return s.err
		}
		s.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("checkpoint: wait: %w", context.Cause(ctx))
		}
	}
}

// Close refuses further states and waits for those begun. It may be called
// more than once.
func (s *Saver) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Wait(context.Background())
}

// Stats returns the totals so far.
func (s *Saver) Stats() SaverStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
