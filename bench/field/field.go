package field

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Config of a field.
type Config struct {
	Binary string // of espalier
	Dir    string // where nodes keep their run folders and output
	Nodes  int
	// Most is the largest number of nodes of a run: the shards of its job.
	// There are as many tokens but one.
	Most int
	// Control is how many nodes, the first ones, hold control servers: 1 or 3;
	// 0 is 1.
	Control int
	// Loopback puts all nodes on loopback addresses, without namespaces.
	Loopback bool
}

// Field is a set of nodes. One goroutine may use it; its nodes may be used
// by others.
type Field struct {
	Nodes []*Node
	cfg   Config
	name  string // prefix of what the field makes in the kernel
	netns bool

	tokens int // handed out
}

// New prepares the network of a field. Namespaces are left out where they are
// not permitted; Namespaces tells.
func New(c Config) (*Field, error) {
	binary, err := filepath.Abs(c.Binary)
	if err != nil {
		return nil, err
	}
	c.Binary = binary
	f := &Field{cfg: c, name: fmt.Sprintf("esp%d", os.Getpid()%100000)}
	for i := range c.Nodes {
		f.Nodes = append(f.Nodes, &Node{field: f, ID: string(rune('a' + i)), Host: fmt.Sprintf("127.0.0.%d", i+2), Dir: filepath.Join(c.Dir, "node-"+string(rune('a'+i)))})
	}
	if !c.Loopback {
		if err := f.build(); err == nil {
			f.netns = true
		} else {
			f.demolish()
		}
	}
	return f, nil
}

// Namespaces reports whether nodes have networks of their own.
func (f *Field) Namespaces() bool { return f.netns }

// build makes a bridge and a namespace with an address on it for every node.
func (f *Field) build() error {
	bridge := f.name + "br"
	if err := ip("link", "add", bridge, "type", "bridge"); err != nil {
		return err
	}
	if err := ip("link", "set", bridge, "up"); err != nil {
		return err
	}
	for i, n := range f.Nodes {
		n.namespace, n.link = f.name+n.ID, f.name+"v"+n.ID
		n.Host = fmt.Sprintf("10.87.0.%d", i+2)
		inside := f.name + "w" + n.ID
		for _, args := range [][]string{
			{"netns", "add", n.namespace},
			{"link", "add", n.link, "type", "veth", "peer", "name", inside},
			{"link", "set", inside, "netns", n.namespace},
			{"link", "set", n.link, "master", bridge, "up"},
			{"-n", n.namespace, "addr", "add", n.Host + "/24", "dev", inside},
			{"-n", n.namespace, "link", "set", inside, "up"},
			{"-n", n.namespace, "link", "set", "lo", "up"},
		} {
			if err := ip(args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// demolish removes what build has made; what is not there is passed over.
func (f *Field) demolish() error {
	var errs []error
	for i, n := range f.Nodes {
		if n.namespace == "" {
			continue
		}
		errs = append(errs, ip("netns", "del", n.namespace))
		ip("link", "del", n.link) // goes with the namespace, if that got it
		n.namespace, n.link, n.Host = "", "", fmt.Sprintf("127.0.0.%d", i+2)
	}
	ip("link", "del", f.name+"br")
	return errors.Join(errs...)
}

// Close kills all nodes and takes the network down.
func (f *Field) Close() error {
	for _, n := range f.Nodes {
		n.Kill()
	}
	if f.netns {
		f.netns = false
		return f.demolish()
	}
	return nil
}

// ip runs the command of that name, with its complaint as the error.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
