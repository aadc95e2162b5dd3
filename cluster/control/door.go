package control

import (
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// door lets clients in whose certificate and key for NATS belong to the same
// role of this run, with what that role may do.
type door struct {
	run   string
	creds *secure.Credentials
	roles map[string]secure.Role // by public key
}

func newDoor(run string, c *secure.Credentials) (*door, error) {
	d := &door{run, c, map[string]secure.Role{}}
	for _, role := range secure.Roles {
		key, err := c.Run().UserKey(role)
		if err != nil {
			return nil, err
		}
		d.roles[key] = role
	}
	return d, nil
}

// Check implements server.Authentication.
func (d *door) Check(c server.ClientAuthentication) bool {
	id, err := d.identify(c)
	if err != nil {
		return false // the server logs the refusal, with the address
	}
	c.RegisterUser(&server.User{Username: string(id.Node), Permissions: permissions(d.run, id)})
	return true
}

func (d *door) identify(c server.ClientAuthentication) (secure.Identity, error) {
	none := secure.Identity{}
	role, ok := d.roles[c.GetOpts().Nkey]
	if !ok {
		return none, fmt.Errorf("%w: unknown key", secure.ErrRole)
	}
	key, err := nkeys.FromPublicKey(c.GetOpts().Nkey)
	if err != nil {
		return none, err
	}
	sig, err := base64.RawURLEncoding.DecodeString(c.GetOpts().Sig)
	if err != nil {
		return none, err
	}
	if err := key.Verify(c.GetNonce(), sig); err != nil {
		return none, err
	}
	state := c.GetTLSConnectionState()
	if state == nil { // from within the process, as connections from outside are all TLS
		if role != secure.Control {
			return none, fmt.Errorf("%w: %v from within a control node", secure.ErrRole, role)
		}
		return d.creds.Identity, nil
	}
	return d.creds.Verify(*state, role)
}

// permissions are the subjects of a role.
//
// Any agent may lead, and a leader writes the generation; so agents write all
// keys but those of the gates (secure.) and of operators (operator.). Replies
// go to subjects of the node that asked, which no other can read.
func permissions(run string, id secure.Identity) *server.Permissions {
	bucket := bucketName(run)
	stream := "KV_" + bucket
	values := "$KV." + bucket + "."
	read := []string{
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.DIRECT.GET." + stream,
		"$JS.API.DIRECT.GET." + stream + ".>",
		"$JS.API.STREAM.MSG.GET." + stream,
		"$JS.API.CONSUMER.CREATE." + stream,
		"$JS.API.CONSUMER.CREATE." + stream + ".>",
		"$JS.API.CONSUMER.INFO." + stream + ".>",
		"$JS.API.CONSUMER.DELETE." + stream + ".>",
		"$JS.FC." + stream + ".>",
	}
	p := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: read},
		Subscribe: &server.SubjectPermission{Allow: []string{inbox(id.Node) + ".>"}},
	}
	switch id.Role {
	case secure.Control:
		p.Publish.Allow = append(read, "$JS.API.>", values+">")
	case secure.Agent:
		p.Publish.Allow = append(read, values+">")
		p.Publish.Deny = []string{values + "secure.>", values + "operator.>"}
	case secure.Operator:
		p.Publish.Allow = append(read, values+"operator.>")
	}
	return p
}

// inbox is where a node gets replies.
func inbox(node cluster.NodeID) string { return "_INBOX." + string(node) }

func bucketName(run string) string { return "run-" + run }
