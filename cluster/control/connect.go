package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// Config is how a node connects to the run's store: to the server it embeds,
// or to Addrs, or to External.
type Config struct {
	Run  string
	Node cluster.NodeID

	// Server, if not nil, is embedded in this process.
	Server *Server

	// Addrs are the control servers, host:port.
	Addrs []string

	// Credentials of this node. Needed for Server and Addrs unless Plain.
	Credentials *secure.Credentials

	// External, if not nil, is a NATS of somebody else's.
	External *External

	// Replicas is how many servers keep the bucket: 1 or 3, as many as there
	// are. 0 means as many as Server's control set has, or 1.
	Replicas int

	// Plain goes without encryption. It is refused for any address that is
	// not loopback.
	Plain bool

	// Timeout bounds each operation where its context does not. 0 means 2 s.
	Timeout time.Duration

	// Log receives changes of the connection. nil is silent.
	Log *zap.Logger
}

// External is NATS with JetStream that exists already. Its operators decide
// who may use the bucket run-<id>.
type External struct {
	URLs        []string    // tls://host:port; nats:// only with Plain
	Credentials string      // file of a user's JWT and seed, or empty
	NKeySeed    string      // file of a user's seed, or empty
	TLS         *tls.Config // nil: the system's authorities
}

// connectTimeout bounds Connect where its context does not.
const connectTimeout = time.Minute

// Connect returns the run's store when it answers. Control nodes, and whoever
// uses an external NATS, make the bucket if there is none; others wait for it.
func Connect(ctx context.Context, cfg Config) (*KV, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	s := &KV{node: cfg.Node, timeout: cfg.Timeout, log: cfg.Log, flights: map[*flight]bool{}, reconnected: make(chan struct{})}
	opts, err := cfg.options(s)
	if err != nil {
		return nil, fmt.Errorf("connect to the store of run %s: %w", cfg.Run, err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(ctx, cfg, opts); err != nil {
		s.Close()
		return nil, fmt.Errorf("connect to the store of run %s: %w", cfg.Run, err)
	}
	return s, nil
}

// open tries until the store answers or ctx ends.
func (s *KV) open(ctx context.Context, cfg Config, opts nats.Options) error {
	for {
		err := s.tryOpen(ctx, cfg, opts)
		if err == nil || errors.Is(err, nats.ErrAuthorization) {
			return err
		}
		s.log.Debug("store is not there yet", zap.Error(err))
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

func (s *KV) tryOpen(ctx context.Context, cfg Config, opts nats.Options) (err error) {
	if s.conn == nil {
		if end, ok := ctx.Deadline(); ok {
			opts.Timeout = max(min(opts.Timeout, time.Until(end)), time.Millisecond)
		}
		if s.conn, err = opts.Connect(); err != nil {
			s.conn = nil
			return err
		}
	}
	js, err := jetstream.New(s.conn, jetstream.WithDefaultTimeout(cfg.Timeout))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	s.kv, err = js.KeyValue(ctx, bucketName(cfg.Run))
	if errors.Is(err, jetstream.ErrBucketNotFound) && (cfg.Server != nil || cfg.External != nil) {
		s.kv, err = js.CreateKeyValue(ctx, cfg.bucket())
	}
	return err
}

func (cfg Config) bucket() jetstream.KeyValueConfig {
	replicas := cfg.Replicas
	if replicas == 0 && cfg.Server != nil {
		replicas = len(cfg.Server.cfg.Peers)
	}
	return jetstream.KeyValueConfig{
		Bucket:       bucketName(cfg.Run),
		Description:  "generations of an espalier run",
		History:      1,
		MaxValueSize: MaxValue + 1<<10, // with headers; values are checked before
		MaxBytes:     maxStore / 2,
		Storage:      jetstream.FileStorage,
		Replicas:     max(1, replicas),
	}
}

// options of a connection whose events go to s.
func (cfg Config) options(s *KV) (nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Name = string(cfg.Node)
	o.InboxPrefix = inbox(cfg.Node)
	o.MaxReconnect = -1
	o.ReconnectWait = 200 * time.Millisecond
	o.ReconnectBufSize = -1 // what was not sent is not written later
	o.PingInterval, o.MaxPingsOut = pingInterval, pingLimit
	o.Timeout = 3 * time.Second
	o.IgnoreDiscoveredServers = cfg.External == nil
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { s.disconnect(err) }
	o.ReconnectedCB = s.reconnect
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) { s.complain(err) }
	if err := checkNames(cfg); err != nil {
		return o, err
	}
	if cfg.External != nil {
		return o, cfg.External.apply(&o, cfg.Plain)
	}
	return o, cfg.apply(&o)
}

func checkNames(cfg Config) error {
	for _, key := range []string{bucketName(cfg.Run), string(cfg.Node)} {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	return nil
}

// apply points the options to our own servers.
func (cfg Config) apply(o *nats.Options) error {
	scheme := "tls://"
	switch c := cfg.Credentials; {
	case c == nil && !cfg.Plain:
		return errors.New("no credentials; Plain must be asked for, and serves loopback only")
	case c != nil && cfg.Plain:
		return errors.New("both credentials and Plain")
	case c == nil:
		scheme = "nats://"
		if err := secure.Loopback(cfg.Addrs); err != nil {
			return err
		}
	default:
		key, sign, err := c.NKey()
		if err != nil {
			return err
		}
		o.Nkey, o.SignatureCB = key, sign
	}
	if cfg.Server != nil {
		o.InProcessServer = cfg.Server
		return nil
	}
	if len(cfg.Addrs) == 0 {
		return errors.New("no address of a control server")
	}
	for _, a := range cfg.Addrs {
		o.Servers = append(o.Servers, scheme+a)
	}
	if cfg.Credentials != nil {
		o.Secure, o.TLSConfig, o.TLSHandshakeFirst = true, cfg.Credentials.TLS(secure.Control), true
	}
	return nil
}

// apply points the options to an external NATS.
func (e *External) apply(o *nats.Options, plain bool) error {
	for _, text := range e.URLs {
		u, err := url.Parse(text)
		if err != nil {
			return fmt.Errorf("address of NATS %q: %w", text, err)
		}
		switch {
		case u.Scheme == "tls" || u.Scheme == "wss":
		case !plain:
			return fmt.Errorf("address of NATS %s: want tls://; Plain must be asked for, and serves loopback only", u.Redacted())
		default:
			if err := secure.Loopback([]string{u.Host}); err != nil {
				return err
			}
		}
		o.Servers = append(o.Servers, text)
	}
	if len(o.Servers) == 0 {
		return errors.New("no address of NATS")
	}
	if !plain {
		o.Secure, o.TLSConfig = true, e.TLS
		if o.TLSConfig == nil {
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13}
		}
	}
	if e.Credentials != "" {
		if err := nats.UserCredentials(e.Credentials)(o); err != nil {
			return fmt.Errorf("credentials for NATS: %w", err)
		}
	}
	if e.NKeySeed != "" {
		option, err := nats.NkeyOptionFromSeed(e.NKeySeed)
		if err != nil {
			return fmt.Errorf("key for NATS: %w", err)
		}
		return option(o)
	}
	return nil
}
