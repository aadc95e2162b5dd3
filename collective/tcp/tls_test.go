package tcp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// authority is the certificate authority of a run.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{}
	a.cert, a.key = a.sign(t, "run", nil)
	return a
}

// sign makes a certificate; that of the authority itself if parent is nil.
func (a *authority) sign(t testing.TB, name string, parent *authority) (*x509.Certificate, ed25519.PrivateKey) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	by, byKey := c, key
	if parent != nil {
		by, byKey = parent.cert, parent.key
	} else {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, public, byKey)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}

// config is that of a rank with a certificate of the authority.
func (a *authority) config(t testing.TB, name string) *tls.Config {
	cert, key := a.sign(t, name, a)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13,
	}
}

func TestConformanceTLS(t *testing.T) {
	config := newAuthority(t).config(t, "worker")
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{3},
		Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
			return open(world, tcp.Options{Timeout: timeout, TLS: config}, nil)
		},
	})
}

// Rank 1 cannot prove that it belongs to the group.
func TestTLSRefuses(t *testing.T) {
	run, other := newAuthority(t), newAuthority(t)
	good := run.config(t, "worker")
	mixed := other.config(t, "worker") // trusts the run, but is not of it
	mixed.RootCAs = good.RootCAs
	bare := run.config(t, "worker")
	bare.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	bare.Certificates = nil
	tests := []struct {
		name  string
		o     tcp.Options // of rank 1
		words string      // on rank 1, empty if it must be rank 0 that says
		zero  string      // logged by rank 0
	}{
		{"other authority", tcp.Options{TLS: other.config(t, "worker")}, "certificate", ""},
		{"certificate of another authority", tcp.Options{TLS: mixed}, "remote error", "certificate"},
		{"no certificate", tcp.Options{TLS: bare}, "remote error", "certificate"},
		{"wrong role", tcp.Options{TLS: run.config(t, "observer")}, "role observer", "role observer"},
		{"plain text", tcp.Options{Plain: true}, "", "first record does not look like a TLS handshake"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peers, listeners, err := addresses(2)
			if err != nil {
				t.Fatal(err)
			}
			log, reasons := refusals()
			verify := func(_ collective.Rank, s tls.ConnectionState) error {
				if role := s.PeerCertificates[0].Subject.CommonName; role != "worker" {
					return errors.New("role " + role)
				}
				return nil
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			zero, one := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := tcp.Open(ctx, collective.Gen{}, 0, peers, tcp.Options{TLS: good, Verify: verify, Listener: listeners[0], Log: log})
				zero <- err
			}()
			go func() {
				tt.o.Listener = listeners[1]
				_, err := tcp.Open(ctx, collective.Gen{}, 1, peers, tt.o)
				one <- err
			}()
			for !strings.Contains(<-reasons, tt.zero) { // a second link may just have been closed
			}
			if tt.words == "" { // rank 1 cannot know better than to try again
				cancel()
			}
			if err := <-one; err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("rank 1: %v, want %q", err, tt.words)
			}
			cancel()
			if err := <-zero; err == nil {
				t.Error("rank 0 let it in")
			}
		})
	}
}

func TestTLSConfigurationIsChecked(t *testing.T) {
	run := newAuthority(t)
	with := func(f func(c *tls.Config)) tcp.Options {
		c := run.config(t, "worker")
		f(c)
		return tcp.Options{TLS: c}
	}
	tests := []struct {
		name  string
		o     tcp.Options
		words string
	}{
		{"old version", with(func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }), "want 1.3"},
		{"no certificate", with(func(c *tls.Config) { c.Certificates = nil }), "without a certificate"},
		{"anybody", with(func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }), "does not verify"},
		{"any certificate", with(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), "does not verify"},
		{"any server", with(func(c *tls.Config) { c.InsecureSkipVerify = true }), "InsecureSkipVerify"},
	}
	peers := []tcp.Peer{{Rank: 0, Addr: "127.0.0.1:1"}}
	for _, tt := range tests {
		if _, err := tcp.Open(context.Background(), collective.Gen{}, 0, peers, tt.o); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.words)
		}
	}
}
