package node

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster/gen"
)

// watch is the store's watch now in force. What an earlier one still had to
// say is recognised by its number and dropped.
type watch struct {
	number int
	cancel context.CancelFunc
	over   sync.WaitGroup
}

func (w *watch) stop() {
	if w.cancel != nil {
		w.cancel()
	}
	w.over.Wait()
}

// rewatch ends the watch and starts the next.
func (s *session) rewatch(ctx context.Context) {
	if s.watch.cancel != nil {
		s.watch.cancel()
	}
	s.watch.number++
	number := s.watch.number
	ctx, s.watch.cancel = context.WithCancel(ctx)
	s.watch.over.Go(func() { s.follow(ctx, number) })
}

// follow keeps a watch open until ctx ends.
func (s *session) follow(ctx context.Context, number int) {
	for {
		entries, err := s.cfg.Store.Watch(ctx, "")
		if err != nil {
			s.log.Debug("watch", zap.Error(err))
		} else {
			for e := range entries {
				s.events.put(event{in: gen.Seen{Entry: e}, watch: number})
			}
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
}
