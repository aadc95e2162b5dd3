package secure

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/espalier-ml/espalier/cluster"
)

// Role is what the holder of a certificate may do.
type Role uint8

// The roles.
const (
	Control  Role = iota + 1 // runs a control server, lets nodes in, and may do what an agent may
	Agent                    // takes part in training
	Observer                 // reads
	Operator                 // reads, and gives commands
)

var roleNames = [...]string{"", "control", "agent", "observer", "operator"}

// Roles are all of them.
var Roles = []Role{Control, Agent, Observer, Operator}

func (r Role) String() string {
	if r.valid() {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

func (r Role) valid() bool { return r >= Control && r <= Operator }

// ParseRole is the inverse of String.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: no role %.20q, want control, agent, observer or operator", ErrRole, s)
}

// Identity is what a certificate says about its holder.
type Identity struct {
	Run  string
	Role Role
	Node cluster.NodeID
}

const (
	scheme  = "espalier"
	host    = "run"
	maxName = 63
)

// String is the identity as it stands in a certificate:
// espalier://run/<run>/<role>/<node>.
func (id Identity) String() string {
	return fmt.Sprintf("%s://%s/%s/%v/%s", scheme, host, id.Run, id.Role, id.Node)
}

// check accepts what can be part of a certificate, a subject and a file name.
func (id Identity) check() error {
	if err := checkName("run", id.Run); err != nil {
		return err
	}
	if !id.Role.valid() {
		return fmt.Errorf("%w: %v", ErrRole, id.Role)
	}
	return checkName("node", string(id.Node))
}

func checkName(what, s string) error {
	strange := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	if len(s) == 0 || len(s) > maxName || strings.ContainsFunc(s, strange) {
		return fmt.Errorf("%w: name of a %s %.70q, want 1 to %d letters, digits, '-' or '_'", ErrRequest, what, s, maxName)
	}
	return nil
}

// IdentityOf reads a certificate, whose signature others have checked.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("%w: %d URIs, want 1", ErrCertificate, len(cert.URIs))
	}
	id, err := parseIdentity(cert.URIs[0])
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %.100q: %w", ErrCertificate, cert.URIs[0], err)
	}
	return id, nil
}

func parseIdentity(u *url.URL) (Identity, error) {
	parts := strings.Split(u.Path, "/")
	if len(parts) != 4 {
		return Identity{}, fmt.Errorf("want %s://%s/RUN/ROLE/NODE", scheme, host)
	}
	role, err := ParseRole(parts[2])
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Run: parts[1], Role: role, Node: cluster.NodeID(parts[3])}
	if err := id.check(); err != nil {
		return Identity{}, err
	}
	if u.String() != id.String() {
		return Identity{}, fmt.Errorf("want %v", id)
	}
	return id, nil
}
