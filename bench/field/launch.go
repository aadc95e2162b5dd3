package field

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// port is where control nodes let others in.
const port = "7400"

// Launch starts the node as a member of a run: the field's first node opens it,
// the others join with a token each, which they wait for. A node that was
// killed comes back with another token, and without a control server.
func (n *Node) Launch(job string, min, workers int, more ...string) error {
	f := n.field
	args := []string{"launch", job, "--json", "--quiet", "--node", fmt.Sprintf("%s%d", n.ID, n.Starts()+1), "--run-dir", n.Dir, "--threads", "1",
		"--nproc", strconv.Itoa(workers), "--nodes", fmt.Sprintf("%d:%d", min, f.cfg.Most), "--lost", "20s", "--listen", n.Host + ":" + port}
	control := max(1, f.cfg.Control)
	if n == f.Nodes[0] && (n.Starts() == 0 || control == 1) {
		return n.Start(append(append(args, "--control", strconv.Itoa(control)), more...)...)
	}
	if f.tokens+1 >= f.cfg.Most {
		return fmt.Errorf("node %s: all tokens are used", n.ID)
	}
	f.tokens++
	token := filepath.Join(f.Nodes[0].Dir, "cluster", fmt.Sprintf("token-%d", f.tokens))
	if err := appear(token, f.Nodes[0]); err != nil {
		return fmt.Errorf("node %s: %w", n.ID, err)
	}
	var gates []string
	for _, x := range f.Nodes[:control] {
		gates = append(gates, x.Host+":"+port)
	}
	return n.Start(append(append(args, "--join", strings.Join(gates, ","), "--token-file", token), more...)...)
}

// appear waits until the node has written a file.
func appear(path string, by *Node) error {
	limit := time.Now().Add(30 * time.Second)
	for time.Now().Before(limit) {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return nil
		}
		if !by.Running() {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	return fmt.Errorf("node %s has not written %s; see %s", by.ID, path, by.Output("err", by.Starts()))
}
