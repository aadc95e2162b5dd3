package secure

import (
	"fmt"
	"net"

	"github.com/espalier-ml/espalier/cluster"
)

// Post is where a control node serves, each host:port: Gate lets nodes in,
// Clients is the control server, which takes its peers at Routes.
type Post struct {
	Node    cluster.NodeID `json:"node"`
	Gate    string         `json:"gate"`
	Clients string         `json:"clients"`
	Routes  string         `json:"routes"`
}

// check bounds what a joiner says.
func (p *Post) check(node string) error {
	if p == nil {
		return nil
	}
	if string(p.Node) != node {
		return fmt.Errorf("post of %.70q: %w than %.70q", p.Node, ErrNode, node)
	}
	for _, a := range []string{p.Gate, p.Clients, p.Routes} {
		if _, _, err := net.SplitHostPort(a); err != nil || len(a) > 300 {
			return fmt.Errorf("%w: address of a control node %.70q, want host:port", ErrRequest, a)
		}
	}
	return nil
}
