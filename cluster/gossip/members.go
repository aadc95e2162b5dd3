package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// Members is this node's part in the gossip of a run. Safe for concurrent
// use.
type Members struct {
	cfg    Config
	log    *zap.Logger
	list   *memberlist.Memberlist
	addr   string
	keys   *memberlist.Keyring // nil in plain text
	roster *roster
	meta   *metaSource
	border *border

	keyMu sync.Mutex
	ring  secure.Keyring // in use

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	all    sync.WaitGroup
	once   sync.Once
}

var _ cluster.Members = (*Members)(nil)

const (
	firstPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
	goodbye    = 2 * time.Second // bounds Close where its context does not
)

// Join takes part in the gossip of a run. With seeds, it tries until one of
// them answers or ctx ends.
func Join(ctx context.Context, cfg Config) (*Members, error) {
	m, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("gossip of %s in run %s: %w", cfg.Node, cfg.Run, err)
	}
	if err := m.join(ctx); err != nil {
		m.shutdown()
		return nil, fmt.Errorf("gossip of %s in run %s: %w", cfg.Node, cfg.Run, err)
	}
	m.all.Go(m.watch)
	m.all.Go(m.rejoin)
	return m, nil
}

// start listens and knows only itself.
func start(ctx context.Context, cfg Config) (*Members, error) {
	cfg.Timing = cfg.Timing.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	mc, err := cfg.memberlist()
	if err != nil {
		return nil, err
	}
	if mc.AdvertiseAddr != "" {
		ips, err := net.DefaultResolver.LookupHost(ctx, mc.AdvertiseAddr)
		if err != nil {
			return nil, fmt.Errorf("own address: %w", err)
		}
		mc.AdvertiseAddr = ips[0]
	}
	m := &Members{cfg: cfg, log: cfg.Log, roster: newRoster(cfg.Node), meta: newMetaSource(cfg)}
	if cfg.Credentials != nil {
		if m.ring, err = cfg.newestKeyring(ctx); err != nil {
			return nil, err
		}
		if m.keys, err = memberlist.NewKeyring(reveal(m.ring), m.ring.Keys[0].Reveal()); err != nil {
			return nil, err
		}
		mc.Keyring = m.keys
		m.meta.set(func(t *meta) { t.Keys = m.ring.Epoch })
	}
	m.border = &border{want: m.meta.get(), log: cfg.Log}
	mc.Delegate = m.meta
	mc.Merge, mc.Alive, mc.Events = m.border, m.border, m.roster
	mc.Logger = listLogger(cfg.Log)
	if m.list, err = memberlist.Create(mc); err != nil {
		return nil, err
	}
	self := m.list.LocalNode()
	m.addr = net.JoinHostPort(self.Addr.String(), strconv.Itoa(int(self.Port)))
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.all.Go(func() { m.roster.pump(m.ctx) })
	return m, nil
}

// join tries the seeds until one answers.
func (m *Members) join(ctx context.Context) error {
	if len(m.cfg.Seeds) == 0 {
		return nil
	}
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := m.tryJoin(ctx, m.cfg.Seeds)
		if err == nil {
			return nil
		}
		if refusal := m.border.refused(); refusal != nil {
			return refusal
		}
		m.log.Debug("no seed answers yet", zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// tryJoin succeeds if one of the seeds is another member and answers.
func (m *Members) tryJoin(ctx context.Context, seeds []string) error {
	var errs []error
	for _, seed := range seeds {
		for _, addr := range m.resolve(ctx, seed, &errs) {
			if addr == m.Addr() {
				continue
			}
			if _, err := m.list.Join([]string{addr}); err != nil {
				errs = append(errs, err)
				continue
			}
			if len(m.list.Members()) > 1 {
				return nil
			}
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no seed is another member"))
	}
	return errors.Join(errs...)
}

func (m *Members) resolve(ctx context.Context, seed string, errs *[]error) (addrs []string) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		*errs = append(*errs, fmt.Errorf("seed %q: %w", seed, err))
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 4*m.cfg.Timing.Probe)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		*errs = append(*errs, err)
	}
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip, port))
	}
	return addrs
}

// rejoin looks for members that were lost, and for seeds: after a partition,
// nobody else does.
func (m *Members) rejoin() {
	tick := time.NewTicker(m.cfg.Timing.Rejoin)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		lost := m.roster.lost()
		if len(m.list.Members()) == 1 {
			lost = append(lost, m.cfg.Seeds...)
		}
		if len(lost) > 0 {
			if err := m.tryJoin(m.ctx, lost); err != nil {
				m.log.Debug("lost members do not answer", zap.Error(err))
			}
		}
	}
}

// Addr is where others reach this member.
func (m *Members) Addr() string { return m.addr }

// Events implements cluster.Members. A change that was not read before the
// next of the same start of a node is replaced by it. The channel is closed
// by Close.
func (m *Members) Events() <-chan cluster.MemberEvent { return m.roster.out }

// Close says goodbye, so that the others hear of a departure and not of a
// death, and ends. With a context that has ended it only ends.
func (m *Members) Close(ctx context.Context) (err error) {
	m.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		if ctx.Err() == nil {
			err = m.leave(ctx)
		}
		err = errors.Join(err, m.shutdown())
	})
	return err
}

func (m *Members) leave(ctx context.Context) error {
	end, _ := ctx.Deadline()
	m.meta.set(func(t *meta) { t.Leaving = true })
	if err := m.list.UpdateNode(time.Until(end) / 2); err != nil {
		m.log.Debug("goodbye was not heard", zap.Error(err))
	}
	if err := m.list.Leave(max(time.Until(end), time.Millisecond)); err != nil {
		return fmt.Errorf("leave gossip: %w", err)
	}
	return nil
}

func (m *Members) shutdown() error {
	m.cancel()
	err := m.list.Shutdown()
	m.all.Wait()
	return err
}
