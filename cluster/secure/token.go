package secure

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// Token lets one node into a run, once. Printed, it is [secret] with what may
// be known of it; Reveal is the text to hand on.
//
// Its secret is a keyed hash of the rest under a key of the run. So a control
// node knows its own tokens without a list, and the store holds only which
// ones were used.
type Token struct {
	Run     string
	Role    Role
	Issued  time.Time
	Expires time.Time

	id     [16]byte
	secret Secret // 32 bytes
	root   cluster.Digest
}

const (
	tokenPrefix = "espalier1-"
	tokenFixed  = 1 + 8 + 8 + 16 + 32 + 32 // role, issued, expires, id, secret, fingerprint; then the run
)

// Token makes a token for a role.
func (r *Run) Token(role Role, valid time.Duration) (Token, error) {
	if !role.valid() {
		return Token{}, fmt.Errorf("%w: %v", ErrRole, role)
	}
	if valid <= 0 {
		return Token{}, fmt.Errorf("token valid for %v, want more than 0", valid)
	}
	now := time.Now()
	t := Token{
		Run: r.ID, Role: role, root: r.Fingerprint(),
		Issued: now.Truncate(time.Millisecond), Expires: now.Add(valid).Truncate(time.Millisecond),
	}
	copy(t.id[:], random(len(t.id)))
	t.secret = Secret{r.tokenSecret(t.claim())}
	return t, nil
}

// claim is what a node says of its token at the gate.
type claim struct {
	ID      []byte `json:"id"`
	Role    Role   `json:"role"`
	Issued  int64  `json:"issued"`  // milliseconds since 1970
	Expires int64  `json:"expires"` // milliseconds since 1970
}

func (t Token) claim() claim {
	return claim{t.id[:], t.Role, t.Issued.UnixMilli(), t.Expires.UnixMilli()}
}

// tokenSecret is the secret that the run gave to the token of a claim.
func (r *Run) tokenSecret(c claim) []byte {
	key := derive(r.master, "token")
	return mac(key, []byte(r.ID), c.ID, []byte{byte(c.Role)}, stamp(c.Issued), stamp(c.Expires))
}

func stamp(ms int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(ms)) }

// Reveal returns the text that ParseToken reads.
func (t Token) Reveal() string {
	b := []byte{byte(t.Role)}
	b = append(b, stamp(t.Issued.UnixMilli())...)
	b = append(b, stamp(t.Expires.UnixMilli())...)
	b = append(b, t.id[:]...)
	b = append(b, t.secret.b...)
	b = append(b, t.root[:]...)
	b = append(b, t.Run...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads the text of a token. Errors never quote it.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	if len(text) > 512 {
		return Token{}, fmt.Errorf("%w: %d bytes", ErrToken, len(text))
	}
	text, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("%w: it begins with %s", ErrToken, tokenPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= tokenFixed {
		return Token{}, fmt.Errorf("%w: cut off or changed", ErrToken)
	}
	t := Token{Role: Role(b[0]), Run: string(b[tokenFixed:])}
	t.Issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:])))
	t.Expires = time.UnixMilli(int64(binary.BigEndian.Uint64(b[9:])))
	copy(t.id[:], b[17:])
	t.secret = NewSecret(b[33:65])
	copy(t.root[:], b[65:])
	if !t.Role.valid() {
		return Token{}, fmt.Errorf("%w: %v", ErrToken, t.Role)
	}
	if err := checkName("run", t.Run); err != nil {
		return Token{}, errors.Join(ErrToken, err)
	}
	return t, nil
}

// String says what may be known.
func (t Token) String() string {
	return fmt.Sprintf("token %s for a node of role %v in run %s: %s", hex.EncodeToString(t.id[:4]), t.Role, t.Run, hidden)
}

// GoString implements fmt.GoStringer.
func (t Token) GoString() string { return t.String() }

// Format implements fmt.Formatter for every verb.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

// MarshalText implements encoding.TextMarshaler.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
