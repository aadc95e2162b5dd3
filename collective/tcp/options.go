package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
)

// Peer is where a rank listens.
type Peer struct {
	Rank collective.Rank
	Addr string // host:port
}

// Order is how sums are formed.
type Order uint8

// The orders.
const (
	Strict Order = iota // along collective.SumTree over the ranks
	Fast                // around a ring: the same bits on all ranks, others for other worlds
)

func (o Order) String() string {
	switch o {
	case Strict:
		return "strict"
	case Fast:
		return "fast"
	}
	return fmt.Sprintf("order(%d)", uint8(o))
}

// Options of a rank. TLS or Plain must be set, the rest may be zero. Those
// marked (equal) must be the same on all ranks, which the handshake checks.
type Options struct {
	// TLS secures and authenticates all links, in both roles: it needs a
	// certificate and must demand and verify that of the other side, TLS 1.3.
	// Names are verified against ServerName, or the host in Peer.Addr.
	TLS *tls.Config

	// Verify, if not nil, may refuse the certificate that a rank presents.
	Verify func(rank collective.Rank, state tls.ConnectionState) error

	// Plain leaves the links unencrypted and unauthenticated. It is refused
	// for any address that is not loopback.
	Plain bool

	// Port, if not nil, is where the rank is reached, in this group and in
	// others before and after. Open leaves it open.
	Port *Port

	// Listener, if not nil, serves for this group alone, instead of listening
	// at the rank's own address. Open closes it.
	Listener net.Listener

	// Dial, if not nil, makes connections: to pin a network card, or to put a
	// fault into the way.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// Sockets is how many connections a pair of ranks has for bulk data in
	// each direction, beside one for control and short operations. (equal) 0
	// means 1; several help where one stream cannot fill the link.
	Sockets int

	// Segment is the unit of pipelining in bytes. (equal) 0 means 512 KiB.
	Segment int

	// Short is the size in bytes up to which an operation on 4 ranks is one
	// message to everyone and no more; less on more ranks, much more on 2,
	// see shortLimit. (equal) 0 means 32 KiB, the most.
	Short int

	// Buffer is the size of the sockets' buffers in bytes. 0 leaves it to the
	// kernel, which adapts it.
	Buffer int

	// Order is how sums of more than Short bytes are formed. (equal)
	Order Order

	// Config is the digest of whatever else ranks must agree on, such as
	// configuration and build. (equal)
	Config collective.Digest

	// Connect bounds Open where its context does not. 0 means 1 minute.
	Connect time.Duration

	// Timeout ends an operation in which nothing arrives from a rank that it
	// needs. It must be longer than any pause a healthy rank makes between
	// operations. 0 means 10 minutes.
	Timeout time.Duration

	// Heartbeat is how often an idle link says that its rank lives. 0 means
	// 200 ms.
	Heartbeat time.Duration

	// Silence is after how long without a sign of life a rank counts as dead.
	// It must be several heartbeats. 0 means 3 s; negative means never.
	Silence time.Duration

	// Observe, if not nil, is called after each operation. It must be short.
	Observe func(collective.Event)

	// Log receives refused connections and the end of the group. nil is silent.
	Log *zap.Logger
}

const (
	maxSockets = 16
	maxShort   = 32 << 10
)

func (o Options) withDefaults() Options {
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&o.Connect, time.Minute)
	or(&o.Timeout, 10*time.Minute)
	or(&o.Heartbeat, 200*time.Millisecond)
	or(&o.Silence, 3*time.Second)
	if o.Sockets == 0 {
		o.Sockets = 1
	}
	if o.Segment == 0 {
		o.Segment = 512 << 10
	}
	if o.Short == 0 {
		o.Short = maxShort
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

// links is the number of connections of a pair of ranks: control, data to the
// higher rank, data to the lower one. A socket that sends and receives at the
// same time would do so in turns, since the kernel locks it.
func (o *Options) links() int { return 1 + 2*o.Sockets }

// shortLimit is Short for a world. One message to everyone takes the time of
// a message, but world/2 times the bytes of a reduction in two phases: for two
// ranks it is better up to the size where segments pay (measured on loopback:
// beyond 256 KiB; 96 KiB for 4 ranks and 48 KiB for 8, less on slower links).
func (o *Options) shortLimit(world int) int {
	if world <= 2 {
		return 8 * o.Short
	}
	return min(o.Short, 3*o.Short/(world-1))
}

// validate returns all that is wrong, after defaults.
func (o *Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case o.TLS == nil && !o.Plain:
		bad("no TLS configuration; Plain must be asked for, and serves loopback only")
	case o.TLS != nil && o.Plain:
		bad("both TLS and Plain")
	case o.TLS != nil:
		if o.TLS.MinVersion != 0 && o.TLS.MinVersion < tls.VersionTLS13 {
			bad("TLS version %x, want 1.3 at least", o.TLS.MinVersion)
		}
		if len(o.TLS.Certificates) == 0 && o.TLS.GetCertificate == nil {
			bad("TLS without a certificate of this rank")
		}
		checks := o.TLS.VerifyConnection != nil || o.TLS.VerifyPeerCertificate != nil
		if a := o.TLS.ClientAuth; a != tls.RequireAndVerifyClientCert && (a != tls.RequireAnyClientCert || !checks) {
			bad("TLS that does not verify the other side's certificate: %v", a)
		}
		if o.TLS.InsecureSkipVerify && !checks {
			bad("TLS with InsecureSkipVerify")
		}
	}
	if o.Port != nil && o.Listener != nil {
		bad("both Port and Listener")
	}
	if o.Sockets < 1 || o.Sockets > maxSockets {
		bad("%d sockets for a pair of ranks, want 1 to %d", o.Sockets, maxSockets)
	}
	if o.Segment < minSegment || o.Segment > maxSegment || o.Segment%grain != 0 {
		bad("segments of %d bytes, want %d to %d, a multiple of %d", o.Segment, minSegment, maxSegment, grain)
	}
	if o.Short < 0 || o.Short > maxShort {
		bad("short operations of up to %d bytes, want 0 to %d", o.Short, maxShort)
	}
	if o.Order > Fast {
		bad("%v", o.Order)
	}
	if o.Heartbeat <= 0 || o.Timeout <= 0 || o.Connect <= 0 {
		bad("heartbeat %v, timeout %v, connect %v: want more than 0", o.Heartbeat, o.Timeout, o.Connect)
	}
	if o.Silence > 0 && o.Silence < 3*o.Heartbeat {
		bad("silence of %v, want at least 3 heartbeats of %v", o.Silence, o.Heartbeat)
	}
	return errors.Join(errs...)
}

// checkPeers refuses lists that are not exactly the ranks of a world, and
// plain text beyond loopback.
func checkPeers(self collective.Rank, peers []Peer, plain bool) ([]string, error) {
	world := len(peers)
	if world < 1 || world > MaxWorld {
		return nil, fmt.Errorf("%d peers, want 1 to %d", world, MaxWorld)
	}
	if self < 0 || int(self) >= world {
		return nil, fmt.Errorf("rank %d in a world of %d", self, world)
	}
	addrs := make([]string, world)
	for _, p := range peers {
		if p.Rank < 0 || int(p.Rank) >= world || addrs[p.Rank] != "" {
			return nil, fmt.Errorf("peer of rank %d twice, or outside a world of %d", p.Rank, world)
		}
		host, _, err := net.SplitHostPort(p.Addr)
		if err != nil {
			return nil, fmt.Errorf("address of rank %d: %w", p.Rank, err)
		}
		if ip := net.ParseIP(host); plain && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("rank %d at %s: plain text is for loopback only; configure TLS", p.Rank, p.Addr)
		}
		addrs[p.Rank] = p.Addr
	}
	return addrs, nil
}
