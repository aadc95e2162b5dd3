package secure

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
)

// GateConfig is what a gate needs. Contact and Log may be nil.
type GateConfig struct {
	// Credentials of this node, whose role is Control.
	Credentials *Credentials

	// Build is the version of the program; joiners must have the same.
	Build string

	// Contact returns where joiners find the control servers and gossip.
	Contact func() (control, gossip []string)

	// Muster, if not nil, returns the control set to whoever is let in, after
	// it has noted where a control node that joins will be: at is nil for all
	// others. ErrNotReady as long as there are not enough of them.
	Muster func(who Identity, at *Post) ([]Post, error)

	Log *zap.Logger
}

// Gate lets nodes into a run and renews their certificates. A control node
// runs one.
type Gate struct {
	GateConfig
	run    *Run
	opened time.Time
	ledger ledger
	now    func() time.Time
}

const (
	protocolName = "espalier-gate"
	gateTimeout  = 10 * time.Second // for everything said on a connection
	gateGuests   = 32               // connections at a time
	channelLabel = "EXPORTER-espalier-gate"
)

// NewGate returns a gate that, until Adopt gives it a store, lets only control
// nodes in, with tokens issued from now on.
func NewGate(cfg GateConfig) (*Gate, error) {
	if cfg.Credentials == nil || cfg.Credentials.run == nil {
		return nil, fmt.Errorf("%w: a gate needs the papers of a control node", ErrRole)
	}
	if cfg.Contact == nil {
		cfg.Contact = func() (c, g []string) { return nil, nil }
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Gate{GateConfig: cfg, run: cfg.Credentials.run, opened: time.Now(), now: time.Now}, nil
}

// Adopt gives the gate the run's store, and the store what the gate has noted
// so far.
func (g *Gate) Adopt(ctx context.Context, store cluster.Store) error {
	return g.ledger.adopt(ctx, store)
}

// Serve answers until the context ends or the listener fails, and closes it.
// It returns when the last guest has gone.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var guests sync.WaitGroup
	defer guests.Wait()
	places := make(chan struct{}, gateGuests)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("gate: %w", err)
		case err != nil: // out of files, perhaps
			g.Log.Warn("gate cannot take a guest", zap.Error(err))
			<-places
			wait(ctx, firstPause)
			continue
		}
		guests.Go(func() {
			g.receive(ctx, conn)
			<-places
		})
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// receive serves one guest.
func (g *Gate) receive(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	secured := tls.Server(conn, g.tls())
	defer secured.Close()
	log := g.Log.With(zap.Stringer("from", conn.RemoteAddr()))
	if err := secured.HandshakeContext(ctx); err != nil {
		log.Warn("guest refused", zap.Error(Refusal(err)))
		return
	}
	b, err := receive(secured, maxRequest)
	if err != nil {
		log.Warn("guest refused", zap.Error(err))
		return
	}
	a, err := g.answer(ctx, b, secured.ConnectionState())
	if err != nil {
		log.Warn("guest refused", zap.Error(err))
		a = answer{Refusal: codeOf(err), Detail: err.Error()}
	}
	if err := send(secured, a, maxAnswer); err != nil {
		log.Warn("guest got no answer", zap.Error(err))
	}
}

// tls takes guests that have no certificate yet.
func (g *Gate) tls() *tls.Config {
	c := g.Credentials.TLS(Control)
	c.ClientAuth = tls.VerifyClientCertIfGiven
	c.VerifyConnection = nil
	c.NextProtos = []string{protocolName}
	return c
}

// answer judges a request that came over a connection in state s.
func (g *Gate) answer(ctx context.Context, b []byte, s tls.ConnectionState) (answer, error) {
	var r request
	if err := json.Unmarshal(b, &r); err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	who, key, err := g.identify(r, s)
	if err != nil {
		return answer{}, err
	}
	if r.Token != nil {
		if err := g.ledger.redeem(ctx, *r.Token, who, key); err != nil {
			return answer{}, err
		}
	}
	var set []Post
	if g.Muster != nil {
		at := r.Post
		if r.Token == nil || who.Role != Control {
			at = nil
		}
		if set, err = g.Muster(who, at); err != nil {
			return answer{}, err
		}
	}
	now := g.now()
	cert, err := g.run.sign(who, key, now)
	if err != nil {
		return answer{}, err
	}
	a := answer{Papers: g.run.papers(who.Role, cert, nil), Set: set}
	if len(a.Papers.Seal) != 0 {
		a.Papers.Gossip = g.newestKeyring(ctx)
	}
	a.Control, a.Gossip = g.Contact()
	g.Log.Info("certificate issued", zap.Stringer("to", who), zap.Bool("renewed", r.Token == nil))
	return a, nil
}

// identify decides who asks, and with which key, and changes nothing.
func (g *Gate) identify(r request, s tls.ConnectionState) (Identity, ed25519.PublicKey, error) {
	none := Identity{}
	if len(r.Build) > maxBuild || len(r.Node) > maxName || len(r.Run) > maxName {
		return none, nil, fmt.Errorf("%w: names too long", ErrRequest)
	}
	if err := r.Post.check(r.Node); err != nil {
		return none, nil, err
	}
	if r.Protocol != Protocol || r.Build != g.Build {
		return none, nil, fmt.Errorf("protocol %d, build %q: %w, want protocol %d, build %q", r.Protocol, r.Build, ErrVersion, Protocol, g.Build)
	}
	if r.Run != g.run.ID {
		return none, nil, fmt.Errorf("%q: %w than %s", r.Run, ErrForeignRun, g.run.ID)
	}
	key, err := keyOf(r.CSR)
	if err != nil {
		return none, nil, err
	}
	if r.Token == nil {
		who, err := g.Credentials.Verify(s, Roles...)
		if err == nil && string(who.Node) != r.Node {
			err = fmt.Errorf("%v: %w than %q", who, ErrNode, r.Node)
		}
		return who, key, err
	}
	who := Identity{g.run.ID, r.Token.Role, cluster.NodeID(r.Node)}
	if err := who.check(); err != nil {
		return none, nil, err
	}
	channel, err := s.ExportKeyingMaterial(channelLabel, nil, 32)
	if err != nil {
		return none, nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return who, key, g.checkToken(r, channel)
}

func (g *Gate) checkToken(r request, channel []byte) error {
	if !hmac.Equal(r.Proof, r.proof(g.run.tokenSecret(*r.Token), channel)) {
		return fmt.Errorf("node %s: %w", r.Node, ErrProof)
	}
	if expires := time.UnixMilli(r.Token.Expires); !g.now().Before(expires) {
		return fmt.Errorf("node %s: token %w, at %v", r.Node, ErrExpired, expires)
	}
	if g.ledger.early() {
		if r.Token.Role != Control {
			return fmt.Errorf("%w: only control nodes join before the store is there", ErrNotReady)
		}
		if time.UnixMilli(r.Token.Issued).Before(g.opened.Truncate(time.Millisecond)) {
			return fmt.Errorf("node %s: %w or may have been: it is older than this gate, which has no store yet", r.Node, ErrReplayed)
		}
	}
	return nil
}

// newestKeyring is that of the store, if it is to be had.
func (g *Gate) newestKeyring(ctx context.Context) wireKeyring {
	k := g.run.firstKeyring()
	if store := g.ledger.open(); store != nil {
		if e, err := store.Get(ctx, KeyringKey); err == nil {
			if newer, err := g.Credentials.OpenKeyring(e.Value); err == nil {
				k = newer
			}
		}
	}
	return k.wire()
}

// keyOf is the key of a certificate request, whose signature shows that its
// maker has the private one.
func keyOf(csr []byte) (ed25519.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := r.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: key is %v, want Ed25519", ErrRequest, r.PublicKeyAlgorithm)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return key, nil
}
