package control

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// ServerConfig is what a control node's server needs.
type ServerConfig struct {
	Run  string
	Node cluster.NodeID
	Dir  string // where the bucket is kept; belongs to this server alone

	// Listen is the address for clients, host:port; port 0 picks one. Empty:
	// only this process connects.
	Listen string

	// Peers are the addresses, host:port, at which the servers of the control
	// set take each other's connections: none, or three with this server's
	// own, the same on all of them for the length of the run.
	Peers []string

	// Routes is this server's address among Peers.
	Routes string

	// Credentials of a control node secure all connections.
	Credentials *secure.Credentials

	// Plain goes without credentials. It is refused for any address that is
	// not loopback.
	Plain bool

	// Log receives what the server says. nil is silent.
	Log *zap.Logger
}

// Bounds of a server.
const (
	maxStore   = 1 << 30
	maxMemory  = 64 << 20
	maxClients = 1024

	startTimeout = 10 * time.Second
	pingInterval = time.Second // pingLimit of them unanswered: the connection is dead
	pingLimit    = 3
)

// Server is an embedded NATS server. It is replaced by another on the same
// folder when it has ceased to store.
type Server struct {
	cfg ServerConfig // Listen with its port
	log *zap.Logger

	mu   sync.Mutex
	nats *server.Server

	quit   chan struct{}
	once   sync.Once
	tended sync.WaitGroup
}

// StartServer starts a server and waits until it listens, not for its peers:
// the first Connect waits until two of three are there.
func StartServer(cfg ServerConfig) (*Server, error) {
	n, err := cfg.start()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, nats: n, quit: make(chan struct{})}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if cfg.Listen != "" {
		s.cfg.Listen = n.Addr().String()
	}
	s.tended.Go(s.tend)
	return s, nil
}

// start makes the server of NATS.
func (cfg ServerConfig) start() (*server.Server, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, fmt.Errorf("control server %s: %w", cfg.Node, err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("control server %s: %w", cfg.Node, err)
	}
	if cfg.Log != nil {
		s.SetLoggerV2(natsLog{cfg.Log.Named("nats").Sugar()}, false, false, false)
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("control server %s does not listen at %q after %v: are the addresses free, and is %s writable?",
			cfg.Node, cfg.Listen, startTimeout, cfg.Dir)
	}
	return s, nil
}

// Addr is where clients connect, empty if nowhere.
func (s *Server) Addr() string { return s.cfg.Listen }

// InProcessConn connects from within the process, for Connect.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.InProcessConn()
}

// Close ends the server and its connections, hands on what it leads, and
// returns when nothing is left of it.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.quit) })
	s.tended.Wait()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return nil
}

func (cfg ServerConfig) options() (*server.Options, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	o := &server.Options{
		ServerName:             string(cfg.Node),
		NoSigs:                 true,
		NoLog:                  cfg.Log == nil,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               cfg.Dir,
		SyncAlways:             true, // an acknowledged record is on disk
		JetStreamMaxMemory:     maxMemory,
		JetStreamMaxStore:      maxStore,
		MaxConn:                maxClients,
		PingInterval:           pingInterval,
		MaxPingsOut:            pingLimit,
		AuthTimeout:            5,
		DontListen:             cfg.Listen == "",
	}
	if cfg.Listen != "" {
		var err error
		if o.Host, o.Port, err = splitAddr(cfg.Listen); err != nil {
			return nil, err
		}
	}
	if c := cfg.Credentials; c != nil {
		o.TLSConfig = c.TLS(secure.Roles...)
		o.TLSTimeout = 5
		o.TLSHandshakeFirst = true
		o.AlwaysEnableNonce = true
		door, err := newDoor(cfg.Run, c)
		if err != nil {
			return nil, err
		}
		o.CustomClientAuthentication = door
	}
	if len(cfg.Peers) > 0 {
		return o, cfg.addRoutes(o)
	}
	return o, nil
}

// addRoutes has the server form a control set with its peers.
func (cfg ServerConfig) addRoutes(o *server.Options) error {
	host, port, err := splitAddr(cfg.Routes)
	if err != nil {
		return err
	}
	o.Cluster = server.ClusterOpts{
		Name:         "run-" + cfg.Run,
		Host:         host,
		Port:         port,
		NoAdvertise:  true,
		PingInterval: pingInterval,
		MaxPingsOut:  pingLimit,
		AuthTimeout:  5,
		PoolSize:     -1,
	}
	if c := cfg.Credentials; c != nil {
		o.Cluster.TLSConfig = c.TLS(secure.Control)
		o.Cluster.TLSTimeout = 5
	}
	for _, p := range cfg.Peers {
		if p != cfg.Routes {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: p})
		}
	}
	return nil
}

// check returns all that is wrong.
func (cfg ServerConfig) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if cfg.Node == "" || strings.ContainsAny(string(cfg.Node), " .*>") {
		bad("name of a node %q, want one word", cfg.Node)
	}
	if err := CheckKey(bucketName(cfg.Run)); err != nil {
		bad("name of a run %q: %w", cfg.Run, err)
	}
	if cfg.Dir == "" {
		bad("no folder to keep the bucket in")
	}
	if n := len(cfg.Peers); n != 0 && n != 3 {
		bad("%d peers, want none or 3", n)
	}
	if len(cfg.Peers) > 0 && !slices.Contains(cfg.Peers, cfg.Routes) {
		bad("own address for routes %q is none of %v", cfg.Routes, cfg.Peers)
	}
	switch c := cfg.Credentials; {
	case c == nil && !cfg.Plain:
		bad("no credentials; Plain must be asked for, and serves loopback only")
	case c != nil && cfg.Plain:
		bad("both credentials and Plain")
	case c != nil && (c.Identity.Role != secure.Control || c.Run() == nil || c.Identity.Run != cfg.Run):
		bad("credentials of %v: %w: want a control node of run %s", c.Identity, secure.ErrRole, cfg.Run)
	case c == nil:
		errs = append(errs, secure.Loopback(append([]string{cfg.Listen}, cfg.Peers...)))
	}
	return errors.Join(errs...)
}

// splitAddr is net.SplitHostPort with NATS' -1 for a port of the system's
// choice.
func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port: %w", addr, err)
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

// natsLog passes on what the server logs, a level down: what it calls an
// error, such as a peer that is gone, is to a run a state.
type natsLog struct{ log *zap.SugaredLogger }

func (l natsLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }
func (l natsLog) Warnf(format string, v ...any)   { l.log.Infof(format, v...) }
func (l natsLog) Errorf(format string, v ...any)  { l.log.Warnf(format, v...) }
func (l natsLog) Fatalf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l natsLog) Debugf(format string, v ...any)  {}
func (l natsLog) Tracef(format string, v ...any)  {}
