package secure

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// The refusals.
var (
	ErrToken       = errors.New("not a join token")
	ErrForeignRun  = errors.New("belongs to another run")
	ErrVersion     = errors.New("another version of the program or protocol")
	ErrReplayed    = errors.New("token was used before")
	ErrExpired     = errors.New("has expired")
	ErrProof       = errors.New("token is not one of this run's")
	ErrRole        = errors.New("role may not do this")
	ErrNode        = errors.New("certificate of another node")
	ErrCertificate = errors.New("not a certificate of a run")
	ErrRequest     = errors.New("malformed request")
	ErrNotReady    = errors.New("gate is not ready")
	ErrSealed      = errors.New("sealed value does not open")
)

// codes are the refusals that a gate sends. After those marked final another
// try is of no use, at this gate or any other.
var codes = []struct {
	code  string
	err   error
	final bool
}{
	{"foreign-run", ErrForeignRun, true},
	{"version", ErrVersion, true},
	{"replayed", ErrReplayed, true},
	{"expired", ErrExpired, true},
	{"proof", ErrProof, true},
	{"role", ErrRole, true},
	{"node", ErrNode, true},
	{"certificate", ErrCertificate, true},
	{"request", ErrRequest, true},
	{"not-ready", ErrNotReady, false},
}

func codeOf(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "not-ready"
}

func errorOf(code string) error {
	for _, c := range codes {
		if c.code == code {
			return c.err
		}
	}
	return ErrNotReady
}

// refusal is what a gate, known to be one of the run, answered.
type refusal struct {
	err    error
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused: %v (%.300q)", r.err, r.detail) }
func (r *refusal) Unwrap() error { return r.err }

// final reports whether err is a refusal that no other try would change.
// Whoever is not known to be of the run cannot refuse.
func final(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, c := range codes {
		if c.err == r.err {
			return c.final
		}
	}
	return false
}

// Refusal gives the failure of a handshake one of this package's names, where
// it has one.
func Refusal(err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", ErrForeignRun, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("certificate %w: %w", ErrExpired, err)
	}
	return err
}
