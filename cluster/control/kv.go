package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// KV is a store in a bucket of NATS. Safe for concurrent use. It reconnects by
// itself, to any of its servers; meanwhile operations fail at once with
// ErrUnavailable, and nothing is kept to be written later. What the node's
// role may not write is secure.ErrRole.
type KV struct {
	node    cluster.NodeID
	conn    *nats.Conn
	kv      jetstream.KeyValue
	timeout time.Duration
	log     *zap.Logger

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	watches sync.WaitGroup

	mu          sync.Mutex
	flights     map[*flight]bool
	reconnected chan struct{} // closed and renewed by each reconnection
}

// flight is an operation that waits for its answer.
type flight struct {
	key string
	end context.CancelCauseFunc
}

var _ cluster.Store = (*KV)(nil)

// Get implements cluster.Store. Any server answers, from what it has.
func (s *KV) Get(ctx context.Context, key string) (e cluster.Entry, err error) {
	if err := CheckKey(key); err != nil {
		return e, err
	}
	err = s.do(ctx, OpGet, key, func(ctx context.Context) error {
		found, err := s.kv.Get(ctx, key)
		if err == nil {
			e = entryOf(found)
		}
		return err
	})
	return e, err
}

// Create implements cluster.Store.
func (s *KV) Create(ctx context.Context, key string, value []byte) (rev cluster.Rev, err error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	err = s.do(ctx, OpCreate, key, func(ctx context.Context) error {
		n, err := s.kv.Create(ctx, key, value)
		rev = cluster.Rev(n)
		return err
	})
	return rev, err
}

// Update implements cluster.Store. A key that does not exist is a conflict.
func (s *KV) Update(ctx context.Context, key string, value []byte, at cluster.Rev) (rev cluster.Rev, err error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	err = s.do(ctx, OpUpdate, key, func(ctx context.Context) error {
		if at == 0 { // to NATS a creation
			return cluster.ErrConflict
		}
		n, err := s.kv.Update(ctx, key, value, uint64(at))
		rev = cluster.Rev(n)
		return err
	})
	return rev, err
}

// Close ends the connection and all watches.
func (s *KV) Close() error {
	s.cancel()
	s.endFlights(ErrClosed, func(string) bool { return true })
	if s.conn != nil {
		s.conn.Close()
	}
	s.watches.Wait()
	return nil
}

// do bounds an operation by the store's patience, its connection and its end,
// and names the outcome.
func (s *KV) do(ctx context.Context, op Op, key string, run func(ctx context.Context) error) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no answer within %v", s.timeout))
	defer cancel()
	bounded, end := context.WithCancelCause(bounded)
	defer end(nil)
	f := &flight{key, end}
	s.mu.Lock()
	s.flights[f] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.flights, f)
		s.mu.Unlock()
	}()
	if !s.conn.IsConnected() { // seen after the flight was noted: no disconnection is missed
		return fmt.Errorf("%s %s: %w: not connected", op, key, ErrUnavailable)
	}
	err := run(bounded)
	switch cause := context.Cause(bounded); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, ErrClosed), errors.Is(cause, secure.ErrRole):
		return fmt.Errorf("%s %s: %w", op, key, cause)
	case cause != nil:
		err = cause
	}
	return outcome(op, key, err)
}

// endFlights ends the operations on some keys.
func (s *KV) endFlights(cause error, which func(key string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.flights {
		if which(f.key) {
			f.end(cause)
		}
	}
}

// outcome translates an error of NATS.
func outcome(op Op, key string, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return cluster.ErrNotFound
	case errors.Is(err, cluster.ErrConflict), errors.Is(err, jetstream.ErrKeyExists),
		errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		if op == OpCreate {
			return cluster.ErrExists
		}
		return cluster.ErrConflict
	}
	return fmt.Errorf("%s %s: %w: %w", op, key, ErrUnavailable, err)
}

// disconnect ends the operations whose answers will not come.
func (s *KV) disconnect(err error) {
	s.log.Info("store disconnected", zap.Error(err))
	s.endFlights(errors.Join(errors.New("connection lost"), err), func(string) bool { return true })
}

// reconnect has every watch begin anew.
func (s *KV) reconnect(c *nats.Conn) {
	s.log.Info("store reconnected", zap.String("to", c.ConnectedServerName()))
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.reconnected)
	s.reconnected = make(chan struct{})
}

// complain receives what the server has to say outside of answers, such as
// that the role may not write a key, whose operation would wait in vain.
func (s *KV) complain(err error) {
	s.log.Debug("store complains", zap.Error(err))
	if errors.Is(err, nats.ErrPermissionViolation) {
		s.endFlights(fmt.Errorf("%w: %w", secure.ErrRole, err), func(key string) bool {
			return strings.Contains(err.Error(), "."+key+"\"")
		})
	}
}

func entryOf(e jetstream.KeyValueEntry) cluster.Entry {
	out := cluster.Entry{Key: e.Key(), Rev: cluster.Rev(e.Revision()), Deleted: e.Operation() != jetstream.KeyValuePut}
	if !out.Deleted {
		out.Value = e.Value()
	}
	return out
}
