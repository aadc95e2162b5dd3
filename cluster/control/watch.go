package control

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
)

// Watches begin anew after a reconnection, and now and then, whatever NATS
// says: a consumer that was lost unnoticed costs at most this.
const renewWatch = 20 * time.Second

// Watch implements cluster.Store. It lives through outages, after which it
// shows what has changed meanwhile.
func (s *KV) Watch(ctx context.Context, prefix string) (<-chan cluster.Entry, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	w := &watch{store: s, prefix: prefix, out: make(chan cluster.Entry), seen: map[string]sight{}, pending: map[string]cluster.Entry{}}
	err := s.do(ctx, OpWatch, prefix, func(context.Context) error { // ctx is for the whole watch
		first, err := w.subscribe(ctx)
		if err == nil {
			s.watches.Go(func() { w.run(ctx, first) })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return w.out, nil
}

// watch passes on the newest value of every key, however slow its reader.
type watch struct {
	store  *KV
	prefix string
	out    chan cluster.Entry

	seen    map[string]sight
	pending map[string]cluster.Entry
	order   []string // keys of pending
}

// sight is what was last seen of a key.
type sight struct {
	rev     uint64
	created time.Time
}

func (w *watch) run(ctx context.Context, sub jetstream.KeyWatcher) {
	defer close(w.out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(w.store.ctx, cancel)
	defer stop()
	for {
		w.relay(ctx, sub)
		end(sub)
		var err error
		for sub = nil; sub == nil && ctx.Err() == nil; {
			if sub, err = w.subscribe(ctx); err != nil {
				w.store.log.Debug("watch does not begin yet", zap.String("prefix", w.prefix), zap.Error(err))
				w.deliver(ctx, time.After(100*time.Millisecond))
			}
		}
		if sub == nil {
			return
		}
	}
}

// subscribe begins to watch all keys that may have the prefix.
func (w *watch) subscribe(ctx context.Context) (jetstream.KeyWatcher, error) {
	filter := ">"
	if i := strings.LastIndexByte(w.prefix, '.'); i >= 0 {
		filter = w.prefix[:i+1] + ">"
	}
	return w.store.kv.Watch(ctx, filter)
}

// relay passes entries on until the subscription ends or is due for renewal.
func (w *watch) relay(ctx context.Context, sub jetstream.KeyWatcher) {
	w.store.mu.Lock()
	reconnected := w.store.reconnected
	w.store.mu.Unlock()
	renew := time.NewTimer(renewWatch)
	defer renew.Stop()
	for {
		out, next := w.next()
		select {
		case e, ok := <-sub.Updates():
			if !ok {
				return
			}
			if e != nil { // nil: the present is complete
				w.take(e)
			}
		case out <- next:
			w.sent()
		case <-reconnected:
			return
		case <-renew.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// deliver passes on what is pending until a signal.
func (w *watch) deliver(ctx context.Context, until <-chan time.Time) {
	for {
		out, next := w.next()
		select {
		case out <- next:
			w.sent()
		case <-until:
			return
		case <-ctx.Done():
			return
		}
	}
}

// next is what to send, and where: nowhere if there is nothing.
func (w *watch) next() (chan<- cluster.Entry, cluster.Entry) {
	if len(w.order) == 0 {
		return nil, cluster.Entry{}
	}
	return w.out, w.pending[w.order[0]]
}

func (w *watch) sent() {
	delete(w.pending, w.order[0])
	w.order = w.order[1:]
}

// take notes an entry, unless it is one that was seen: a new subscription
// shows everything again, perhaps from a server that is behind. In a bucket
// that was lost and made anew revisions begin again, at a later time.
func (w *watch) take(e jetstream.KeyValueEntry) {
	if !strings.HasPrefix(e.Key(), w.prefix) {
		return
	}
	last, known := w.seen[e.Key()]
	now := sight{e.Revision(), e.Created()}
	if known && now.rev <= last.rev && !now.created.After(last.created) {
		return
	}
	w.seen[e.Key()] = now
	if _, waiting := w.pending[e.Key()]; !waiting {
		w.order = append(w.order, e.Key())
	}
	w.pending[e.Key()] = entryOf(e)
}

// end stops a subscription and reads what it still wants to say, for it waits
// until it has said it.
func end(sub jetstream.KeyWatcher) {
	sub.Stop() // fails only if it has stopped already
	patience := time.After(5 * time.Second)
	for {
		select {
		case _, ok := <-sub.Updates():
			if !ok {
				return
			}
		case <-patience:
			return
		}
	}
}
