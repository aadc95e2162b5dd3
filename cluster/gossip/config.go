package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// Config of a member. Run, Node, Boot, Build and Bind are needed, and
// Credentials or Plain.
type Config struct {
	Run   string
	Node  cluster.NodeID
	Boot  string // drawn anew at every start, 64 bytes at most
	Build string // members must have the same, 200 bytes at most

	// Bind is where to listen, UDP and TCP, host:port. Port 0 picks one.
	Bind string

	// Advertise is where others reach this member, host:port. Empty: at Bind,
	// or if that is every address of the machine, at a private one of them.
	Advertise string

	// Seeds are members, host:port, where a host may be a name with several
	// addresses. Join tries until one of them answers. Empty: the first node.
	Seeds []string

	// Credentials bring the gossip keys.
	Credentials *secure.Credentials

	// Store, if not nil, is asked for newer keys than the credentials brought.
	Store cluster.Store

	// Plain goes without encryption. It is refused for any address that is
	// not loopback.
	Plain bool

	// Allowed, if not empty, are the networks from which members may come.
	Allowed []netip.Prefix

	// Timing of failure detection. Zero fields are the defaults, which serve
	// a network within a building.
	Timing Timing

	// Log receives what memberlist says, a level down. nil is silent.
	Log *zap.Logger
}

// Timing says how soon silence is noticed. See the package comment for what
// follows from the defaults.
type Timing struct {
	Ping    time.Duration // 250 ms: how often neighbours are pinged
	Silence time.Duration // 3 s: without a sign of life, Suspect
	Probe   time.Duration // 1 s: memberlist's probe interval, a quarter of its patience
	Answer  time.Duration // 500 ms: the longest round trip that counts; less than Probe
	Rejoin  time.Duration // 5 s: how often lost members and seeds are looked for
}

func (t Timing) withDefaults() Timing {
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&t.Ping, 250*time.Millisecond)
	or(&t.Silence, 3*time.Second)
	or(&t.Probe, time.Second)
	or(&t.Answer, 500*time.Millisecond)
	or(&t.Rejoin, 5*time.Second)
	return t
}

// check returns all that is wrong, after defaults.
func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Run == "" || len(c.Run) > 63 || c.Node == "" || len(c.Node) > 63 {
		bad("run %.70q, node %.70q: want names of 1 to 63 bytes", c.Run, c.Node)
	}
	if len(c.Boot) > 64 || len(c.Build) > 200 {
		bad("boot of %d bytes, build of %d, want at most 64 and 200", len(c.Boot), len(c.Build))
	}
	if t := c.Timing; min(t.Ping, t.Silence, t.Probe, t.Answer, t.Rejoin) <= 0 || t.Answer >= t.Probe || t.Silence < 4*t.Ping {
		bad("timing %+v: want more than 0, an answer sooner than the next probe, silence of at least 4 pings", t)
	}
	switch {
	case c.Credentials == nil && !c.Plain:
		bad("no credentials; Plain must be asked for, and serves loopback only")
	case c.Credentials != nil && c.Plain:
		bad("both credentials and Plain")
	case c.Plain:
		errs = append(errs, secure.Loopback(append([]string{c.Bind, c.Advertise}, c.Seeds...)))
	case c.Credentials.Identity.Run != c.Run || c.Credentials.Identity.Node != c.Node:
		bad("credentials of %v: %w than %s in run %s", c.Credentials.Identity, secure.ErrNode, c.Node, c.Run)
	}
	return errors.Join(errs...)
}

// memberlist is the configuration in memberlist's terms, without keys and
// delegates.
func (c Config) memberlist() (*memberlist.Config, error) {
	m := memberlist.DefaultLANConfig()
	m.Name = string(c.Node)
	m.Label = "espalier/" + c.Run
	m.ProbeInterval = c.Timing.Probe
	m.ProbeTimeout = c.Timing.Answer
	m.GossipInterval = c.Timing.Probe / 5
	m.TCPTimeout = 4 * c.Timing.Probe
	m.PushPullInterval = 15 * time.Second
	m.DeadNodeReclaimTime = time.Second // a node may come back elsewhere
	m.DelegateProtocolMin, m.DelegateProtocolMax, m.DelegateProtocolVersion = 1, 1, 1
	for _, p := range c.Allowed {
		p = p.Masked()
		m.CIDRsAllowed = append(m.CIDRsAllowed, net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
	var err error
	if m.BindAddr, m.BindPort, err = splitAddr(c.Bind); err != nil {
		return nil, err
	}
	m.AdvertisePort = m.BindPort
	if c.Advertise != "" {
		m.AdvertiseAddr, m.AdvertisePort, err = splitAddr(c.Advertise)
	}
	return m, err
}

func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port: %w", addr, err)
	}
	return host, int(n), nil
}
