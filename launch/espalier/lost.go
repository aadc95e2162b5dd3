package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/launch/agent"
)

// probeInterval is how often a node that cannot train looks for the store.
const probeInterval = 2 * time.Second

// watch closes a session that has no store while its workers have no
// generation: nothing would ever happen again. What it returns ends the watch,
// with the error of a session that was closed.
func (s *site) watch(session cluster.Session, a *agent.Agent, patience time.Duration) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := untilLost(ctx, patience, func() bool { return a.Status().Formed }, s.store.Probe)
		if err != nil {
			s.log.Error("giving up", zap.Error(err))
			session.Close(ctx)
		}
		done <- err
	}()
	return func() error { cancel(); return <-done }
}

// untilLost returns an error when for so long nothing was trained and no probe
// of the store succeeded, or nil when ctx ends.
func untilLost(ctx context.Context, patience time.Duration, trains func() bool, probe func(context.Context) error) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var lost time.Duration
	for last := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		// A process that stood still itself has not waited.
		waited := min(time.Since(last), 2*probeInterval)
		last = time.Now()
		if trains() {
			lost = 0
			continue
		}
		err := probe(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			lost = 0
			continue
		}
		if lost += waited; lost >= patience {
			return fmt.Errorf("the store of the run was not reached for %v, and nothing can be trained without: %w", lost.Round(time.Second), err)
		}
	}
}
