package secure

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Protocol is the version of what is said at the gate.
const Protocol = 1

const (
	maxRequest = 8 << 10
	maxAnswer  = 64 << 10
	maxBuild   = 200
)

// request asks for a certificate: with a token, or with a certificate of this
// run that is shown in the handshake.
type request struct {
	Protocol int    `json:"protocol"`
	Build    string `json:"build"`
	Run      string `json:"run"`
	Node     string `json:"node"`
	CSR      []byte `json:"csr"` // PKCS #10, of which only the key counts
	Token    *claim `json:"token,omitempty"`
	Proof    []byte `json:"proof,omitempty"`
	Post     *Post  `json:"post,omitempty"`
}

// proof shows that its maker knows the token's secret, on this connection
// (channel: exported keying material, RFC 9266) and for this request.
func (r request) proof(secret, channel []byte) []byte {
	return mac(secret, []byte("join proof"), channel, []byte(r.Build), []byte(r.Run), []byte(r.Node), r.CSR)
}

// answer has a refusal or papers.
type answer struct {
	Refusal string   `json:"refusal,omitempty"` // code
	Detail  string   `json:"detail,omitempty"`
	Papers  papers   `json:"papers,omitzero"`
	Control []string `json:"control,omitempty"`
	Gossip  []string `json:"gossip,omitempty"`
	Set     []Post   `json:"set,omitempty"`
}

// send writes a message, preceded by its length.
func send(w io.Writer, message any, limit int) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrRequest, len(b), limit)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// receive reads the bytes of a message of bounded length.
func receive(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrRequest, n, limit)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
