package secure

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Renew gets a new certificate for the same identity and key: from f.Addrs,
// or on a control node from its own authority. TLS configurations made before
// use it from then on; connections that exist are left alone.
func (c *Credentials) Renew(ctx context.Context, f Facts) error {
	der, err := c.renewed(ctx, f)
	if err != nil {
		return fmt.Errorf("renew the certificate of %v: %w", c.Identity, err)
	}
	leaf, err := c.check(der)
	if err != nil {
		return fmt.Errorf("renew the certificate of %v: %w", c.Identity, err)
	}
	if id, err := IdentityOf(leaf); err != nil || id != c.Identity {
		return fmt.Errorf("renewed certificate is of %v, want %v: %w", id, c.Identity, ErrNode)
	}
	c.install(leaf)
	return nil
}

func (c *Credentials) renewed(ctx context.Context, f Facts) ([]byte, error) {
	if c.run != nil {
		return c.run.sign(c.Identity, c.key().Public().(ed25519.PublicKey), time.Now())
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, c.key())
	if err != nil {
		return nil, err
	}
	config := c.TLS(Control)
	config.NextProtos = []string{protocolName}
	r := request{Protocol: Protocol, Build: f.Build, Run: c.Identity.Run, Node: string(c.Identity.Node), CSR: csr}
	a, err := f.ask(ctx, config, r, nil)
	return a.Papers.Certificate, err
}

// KeepValid renews the certificate whenever a third of its life has passed,
// until ctx ends. A failure is logged and tried again; two thirds of a life
// are left for that.
func (c *Credentials) KeepValid(ctx context.Context, f Facts) {
	log := f.Log
	if log == nil {
		log = zap.NewNop()
	}
	for {
		if wait(ctx, max(time.Until(c.Expires())-2*Lifetime/3, time.Minute)); ctx.Err() != nil {
			return
		}
		try, cancel := context.WithTimeout(ctx, time.Minute)
		err := c.Renew(try, f)
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Warn("certificate not renewed yet", zap.Time("expires", c.Expires()), zap.Error(err))
		}
	}
}
