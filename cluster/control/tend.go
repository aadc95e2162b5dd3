package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

const (
	tendInterval = time.Second // how often a server is looked after
	spareRoom    = 4 << 20     // bytes that must fit on the disk before a server starts on it again
)

// ailment is why a server stores nothing any more, nil if it does as far as it
// knows. What NATS has to say of its peers is no ailment.
func ailment(n *server.Server) error {
	if !n.JetStreamEnabled() {
		return errors.New("its disk was full or failed, and it has given it up")
	}
	// The only place where NATS shows a failed write is this text.
	if h := n.Healthz(nil); strings.Contains(h.Error, "write error") {
		return errors.New(h.Error)
	}
	return nil
}

// tend looks after the server until it is closed.
func (s *Server) tend() {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	ill := false
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		if !ill {
			why := ailment(s.nats)
			if ill = why != nil; !ill {
				continue
			}
			s.log.Warn("control server cannot store", zap.String("folder", s.cfg.Dir), zap.Error(why))
		}
		if err := s.replace(); err != nil {
			s.log.Debug("control server not replaced yet", zap.Error(err))
			continue
		}
		ill = false
		s.log.Info("control server stores again", zap.String("folder", s.cfg.Dir))
	}
}

// replace puts another server in the place of this one, if the folder takes
// files.
func (s *Server) replace() error {
	if err := writable(s.cfg.Dir); err != nil {
		return err
	}
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	n, err := s.cfg.start()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats = n
	return nil
}

// writable tries to write a file.
func writable(dir string) (err error) {
	f, err := os.CreateTemp(dir, "room-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err = f.Write(make([]byte, spareRoom)); err != nil {
		return fmt.Errorf("no room in %s: %w", dir, err)
	}
	return f.Sync()
}

// Probe writes a key of this node's own, probe.<node>, and so tells whether
// the store takes writes now.
func (s *KV) Probe(ctx context.Context) error {
	key := "probe." + string(s.node)
	return s.do(ctx, OpProbe, key, func(ctx context.Context) error {
		_, err := s.kv.Put(ctx, key, nil)
		return err
	})
}
