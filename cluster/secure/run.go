package secure

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

const (
	// Lifetime of a certificate of a node.
	Lifetime = 48 * time.Hour

	authorityLifetime = 10 * 365 * 24 * time.Hour
	backdate          = 2 * time.Hour // clocks differ
	serverName        = "espalier"    // the name in every certificate: hosts do not matter
)

// Run is what the control nodes of a run share: its certificate authority and
// the secret from which all keys are derived. Safe for concurrent use.
type Run struct {
	ID string

	master Secret
	ca     *x509.Certificate
	key    ed25519.PrivateKey
}

// NewRun makes the authority of a new run. The name is 1 to 63 letters,
// digits, '-' or '_'.
func NewRun(id string) (*Run, error) {
	if err := checkName("run", id); err != nil {
		return nil, err
	}
	r := &Run{ID: id, master: Secret{random(32)}}
	r.key = ed25519.NewKeyFromSeed(derive(r.master, "ca"))
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "espalier run " + id},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(nil, template, template, r.key.Public(), r.key)
	if err != nil {
		return nil, fmt.Errorf("make the authority of run %s: %w", id, err)
	}
	r.ca, err = x509.ParseCertificate(der)
	return r, err
}

// Fingerprint is the SHA-256 of the authority's certificate.
func (r *Run) Fingerprint() cluster.Digest { return sha256.Sum256(r.ca.Raw) }

// Issue makes the papers of a node, with a new key.
func (r *Run) Issue(role Role, node cluster.NodeID) (*Credentials, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	id := Identity{r.ID, role, node}
	der, err := r.sign(id, key.Public().(ed25519.PublicKey), time.Now())
	if err != nil {
		return nil, err
	}
	return newCredentials(r.papers(role, der, key))
}

// sign makes the certificate of an identity.
func (r *Run) sign(id Identity, key ed25519.PublicKey, now time.Time) ([]byte, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, fmt.Errorf("certificate of %v: %w", id, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: string(id.Node)},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(Lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{serverName},
		URIs:         []*url.URL{uri},
	}
	der, err := x509.CreateCertificate(nil, template, r.ca, key, r.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %v: %w", id, err)
	}
	return der, nil
}

// papers are what a role gets beside its certificate.
func (r *Run) papers(role Role, cert []byte, key ed25519.PrivateKey) papers {
	p := papers{Authority: r.ca.Raw, Certificate: cert, NKey: derive(r.master, "nkey "+role.String())}
	if key != nil {
		p.Key = key.Seed()
	}
	if role == Control || role == Agent {
		p.Seal = derive(r.master, "keyring")
		p.Gossip = r.firstKeyring().wire()
	}
	if role == Control {
		p.Master = r.master.b
	}
	return p
}

type runFile struct {
	ID        string
	Master    []byte
	Authority []byte
}

// Marshal returns all there is to a run, for ParseRun on another control node
// or after a restart.
func (r *Run) Marshal() Secret {
	b, err := json.Marshal(runFile{r.ID, r.master.b, r.ca.Raw})
	if err != nil {
		panic(err) // strings and bytes marshal
	}
	return Secret{b}
}

// ParseRun is the inverse of Marshal.
func ParseRun(b []byte) (*Run, error) {
	var f runFile
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%w: run of %d bytes", ErrRequest, len(b))
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%w: run does not parse", ErrRequest) // the error might quote
	}
	return newRun(f.ID, f.Master, f.Authority)
}

func newRun(id string, master, authority []byte) (*Run, error) {
	if err := checkName("run", id); err != nil {
		return nil, err
	}
	if len(master) != 32 {
		return nil, fmt.Errorf("%w: secret of run %s has %d bytes, want 32", ErrRequest, id, len(master))
	}
	ca, err := x509.ParseCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("authority of run %s: %w", id, err)
	}
	r := &Run{ID: id, master: NewSecret(master), ca: ca}
	r.key = ed25519.NewKeyFromSeed(derive(r.master, "ca"))
	if k, ok := ca.PublicKey.(ed25519.PublicKey); !ok || !k.Equal(r.key.Public()) {
		return nil, fmt.Errorf("%w: secret and authority of run %s do not match", ErrForeignRun, id)
	}
	return r, nil
}

func serial() *big.Int { return new(big.Int).SetBytes(random(16)) }
