package secure

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
)

// Facts are what a joiner says, and where. Dial and Log may be nil.
type Facts struct {
	Addrs []string // gates, host:port, tried in turn
	Node  cluster.NodeID
	Build string

	// Post is where a control node will serve, nil for others.
	Post *Post

	// Dial, if not nil, makes connections.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// Patience is how long no gate may answer before Join gives up; 0: as long
	// as its context lasts. A gate that is not ready answers.
	Patience time.Duration

	Log *zap.Logger
}

// Joined is a node that has been let in, and where it finds the others.
type Joined struct {
	*Credentials
	Control []string // control servers, host:port
	Gossip  []string // members, host:port
	Set     []Post   // the control set, if the gate tells
}

const (
	firstPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
)

// Join gets papers for a token. It tries the gates until one lets it in,
// refuses for good, or ctx ends. All tries are one use of the token: it is
// used up for every other key.
func Join(ctx context.Context, token Token, f Facts) (*Joined, error) {
	key, csr, err := newKey()
	if err != nil {
		return nil, err
	}
	claim := token.claim()
	r := request{Protocol: Protocol, Build: f.Build, Run: token.Run, Node: string(f.Node), CSR: csr, Token: &claim, Post: f.Post}
	check := func(s tls.ConnectionState) error { return checkGate(s, token) }
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{protocolName},
		InsecureSkipVerify: true, // the token has the authority's fingerprint: see checkGate
		VerifyConnection:   check,
	}
	a, err := f.ask(ctx, config, r, token.secret.b)
	if err != nil {
		return nil, fmt.Errorf("join run %s as %s: %w", token.Run, f.Node, err)
	}
	a.Papers.Key = key.Seed()
	c, err := newCredentials(a.Papers)
	if err != nil {
		return nil, fmt.Errorf("join run %s as %s: %w", token.Run, f.Node, err)
	}
	want := Identity{token.Run, token.Role, f.Node}
	if sha256.Sum256(a.Papers.Authority) != token.root || c.Identity != want {
		return nil, fmt.Errorf("join run %s: got papers of %v, want %v: %w", token.Run, c.Identity, want, ErrForeignRun)
	}
	return &Joined{c, a.Control, a.Gossip, a.Set}, nil
}

// checkGate verifies that a gate is a control node under the authority whose
// fingerprint the token has.
func checkGate(s tls.ConnectionState, token Token) error {
	certs := s.PeerCertificates
	if len(certs) < 2 || sha256.Sum256(certs[len(certs)-1].Raw) != token.root {
		return fmt.Errorf("the gate %w than %s", ErrForeignRun, token.Run)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certs[len(certs)-1])
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName}); err != nil {
		return fmt.Errorf("the gate: %w", Refusal(err))
	}
	id, err := IdentityOf(certs[0])
	if err != nil {
		return err
	}
	if id.Run != token.Run {
		return fmt.Errorf("the gate %w than %s", ErrForeignRun, token.Run)
	}
	if id.Role != Control {
		return fmt.Errorf("the gate is %v: %w", id, ErrRole)
	}
	return nil
}

// ask puts a request to the gates until one answers or refuses for good.
func (f Facts) ask(ctx context.Context, config *tls.Config, r request, secret []byte) (answer, error) {
	if len(f.Addrs) == 0 {
		return answer{}, errors.New("no address of a gate")
	}
	if f.Log == nil {
		f.Log = zap.NewNop()
	}
	if f.Dial == nil {
		f.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	answered := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		var errs []error
		foreign := 0
		for _, addr := range f.Addrs {
			a, err := f.askOne(ctx, addr, config, r, secret)
			if err == nil || final(err) {
				return a, err
			}
			if errors.Is(err, ErrForeignRun) {
				foreign++
			}
			if errors.Is(err, ErrNotReady) {
				answered = time.Now()
			}
			errs = append(errs, fmt.Errorf("%s: %w", addr, err))
		}
		if foreign == len(errs) {
			return answer{}, errors.Join(errs...)
		}
		if f.Patience > 0 && time.Since(answered) > f.Patience {
			return answer{}, fmt.Errorf("no gate answers for %v: %w", f.Patience, errors.Join(errs...))
		}
		f.Log.Debug("no gate lets us in yet", zap.Errors("gates", errs))
		if wait(ctx, pause); ctx.Err() != nil {
			return answer{}, fmt.Errorf("%w: %w", ctx.Err(), errors.Join(errs...))
		}
	}
}

func (f Facts) askOne(ctx context.Context, addr string, config *tls.Config, r request, secret []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	conn, err := f.Dial(ctx, addr)
	if err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	secured := tls.Client(conn, config)
	defer secured.Close()
	if err := secured.HandshakeContext(ctx); err != nil {
		return answer{}, Refusal(err)
	}
	if r.Token != nil {
		s := secured.ConnectionState()
		channel, err := s.ExportKeyingMaterial(channelLabel, nil, 32)
		if err != nil {
			return answer{}, err
		}
		r.Proof = r.proof(secret, channel)
	}
	if err := send(secured, r, maxRequest); err != nil {
		return answer{}, err
	}
	b, err := receive(secured, maxAnswer)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(b)
}

func parseAnswer(b []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return a, errors.New("answer does not parse") // the error might quote secrets
	}
	if a.Refusal != "" {
		return a, &refusal{errorOf(a.Refusal), a.Detail}
	}
	return a, nil
}

func newKey() (ed25519.PrivateKey, []byte, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}
