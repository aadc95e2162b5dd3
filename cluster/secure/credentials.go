package secure

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/espalier-ml/espalier/cluster"
)

// Credentials are the papers of a node. Safe for concurrent use; a renewed
// certificate serves all TLS configurations made before.
type Credentials struct {
	Identity Identity

	papers papers // Certificate excepted, see leaf
	run    *Run   // of a control node, else nil
	roots  *x509.CertPool
	leaf   atomic.Pointer[tls.Certificate]
}

// papers are credentials as they are sent and kept.
type papers struct {
	Authority   []byte      `json:"authority"`
	Certificate []byte      `json:"certificate"`
	Key         []byte      `json:"key,omitempty"`    // seed of Ed25519
	NKey        []byte      `json:"nkey,omitempty"`   // seed of the role's key at NATS
	Seal        []byte      `json:"seal,omitempty"`   // opens the keyring in the store
	Gossip      wireKeyring `json:"gossip,omitzero"`  // the keyring at issue
	Master      []byte      `json:"master,omitempty"` // of control nodes
}

func newCredentials(p papers) (*Credentials, error) {
	ca, err := x509.ParseCertificate(p.Authority)
	if err != nil {
		return nil, fmt.Errorf("%w: authority: %w", ErrCertificate, err)
	}
	c := &Credentials{papers: p, roots: x509.NewCertPool()}
	c.roots.AddCert(ca)
	leaf, err := c.check(p.Certificate)
	if err != nil {
		return nil, err
	}
	if c.Identity, err = IdentityOf(leaf); err != nil {
		return nil, err
	}
	if len(p.NKey) != 0 && len(p.NKey) != 32 || len(p.Seal) != 0 && len(p.Seal) != 32 {
		return nil, fmt.Errorf("%w: keys of the wrong length", ErrRequest)
	}
	if _, err := p.Gossip.keyring(); err != nil && len(p.Seal) != 0 {
		return nil, err
	}
	if c.Identity.Role == Control && len(p.Master) != 0 {
		if c.run, err = newRun(c.Identity.Run, p.Master, p.Authority); err != nil {
			return nil, err
		}
	}
	c.install(leaf)
	return c, nil
}

// check verifies that a certificate is one of this run's, for our key.
func (c *Credentials) check(der []byte) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if len(c.papers.Key) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: key of %d bytes", ErrCertificate, len(c.papers.Key))
	}
	if k, ok := leaf.PublicKey.(ed25519.PublicKey); !ok || !k.Equal(c.key().Public()) {
		return nil, fmt.Errorf("%w: it is for another key", ErrCertificate)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	// Whether it is still valid shows when it is used, or renewed.
	opts := x509.VerifyOptions{Roots: c.roots, KeyUsages: usages, CurrentTime: leaf.NotBefore}
	if _, err := leaf.Verify(opts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignRun, err)
	}
	return leaf, nil
}

func (c *Credentials) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(c.papers.Key) }

func (c *Credentials) install(leaf *x509.Certificate) {
	c.leaf.Store(&tls.Certificate{
		Certificate: [][]byte{leaf.Raw, c.papers.Authority},
		PrivateKey:  c.key(),
		Leaf:        leaf,
	})
}

// Run is the authority, which control nodes have, or nil.
func (c *Credentials) Run() *Run { return c.run }

// Expires is when the certificate does.
func (c *Credentials) Expires() time.Time { return c.leaf.Load().Leaf.NotAfter }

// TLS returns a configuration for either side of a link at whose other end one
// of the given roles of this run must be. TLS 1.3, certificates on both sides.
func (c *Credentials) TLS(peers ...Role) *tls.Config {
	peers = slices.Clone(peers)
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.leaf.Load(), nil },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.leaf.Load(), nil },
		RootCAs:                c.roots,
		ClientCAs:              c.roots,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ServerName:             serverName,
		SessionTicketsDisabled: true, // each connection shows its certificate
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := c.Verify(s, peers...)
			return err
		},
	}
}

// Verify returns who is at the other end of a connection made with TLS, which
// has verified the signatures. It must be of this run and of one of the roles.
func (c *Credentials) Verify(s tls.ConnectionState, peers ...Role) (Identity, error) {
	if len(s.PeerCertificates) == 0 {
		return Identity{}, fmt.Errorf("%w: none was shown", ErrCertificate)
	}
	id, err := IdentityOf(s.PeerCertificates[0])
	switch {
	case err != nil:
		return Identity{}, err
	case id.Run != c.Identity.Run:
		return id, fmt.Errorf("%v: %w than %s", id, ErrForeignRun, c.Identity.Run)
	case !slices.Contains(peers, id.Role):
		return id, fmt.Errorf("%v: %w: want one of %v", id, ErrRole, peers)
	}
	return id, nil
}

// VerifyNode checks that a connection between ranks leads to a certain node.
func (c *Credentials) VerifyNode(s tls.ConnectionState, node cluster.NodeID) error {
	id, err := c.Verify(s, Control, Agent)
	if err == nil && id.Node != node {
		err = fmt.Errorf("%v: %w than %s", id, ErrNode, node)
	}
	return err
}

// NKey returns the public key of the role at NATS and signs with it.
func (c *Credentials) NKey() (public string, sign func(nonce []byte) ([]byte, error), err error) {
	if len(c.papers.NKey) == 0 {
		return "", nil, fmt.Errorf("%w: these papers have no key for NATS", ErrRole)
	}
	pair, err := userKey(c.papers.NKey)
	if err != nil {
		return "", nil, err
	}
	public, err = pair.PublicKey()
	return public, pair.Sign, err
}

// UserKey is the public key of a role at NATS.
func (r *Run) UserKey(role Role) (string, error) {
	pair, err := userKey(derive(r.master, "nkey "+role.String()))
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}

func userKey(seed []byte) (nkeys.KeyPair, error) {
	encoded, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, seed)
	if err != nil {
		return nil, errors.New("key for NATS: seed is malformed") // the error might quote
	}
	return nkeys.FromSeed(encoded)
}

// Marshal returns everything, for a file that only the owner reads.
func (c *Credentials) Marshal() Secret {
	p := c.papers
	p.Certificate = c.leaf.Load().Leaf.Raw
	return p.marshal()
}

// ForWorker returns what a process that only computes needs: certificate and
// key for links between ranks, nothing for control or gossip. Hand it over by
// a pipe, not in the environment.
func (c *Credentials) ForWorker() Secret {
	return papers{Authority: c.papers.Authority, Certificate: c.leaf.Load().Leaf.Raw, Key: c.papers.Key}.marshal()
}

func (p papers) marshal() Secret {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // bytes marshal
	}
	return Secret{b}
}

// ParseCredentials is the inverse of Marshal and ForWorker.
func ParseCredentials(b []byte) (*Credentials, error) {
	var p papers
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%w: credentials of %d bytes", ErrRequest, len(b))
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%w: credentials do not parse", ErrRequest) // the error might quote
	}
	return newCredentials(p)
}
