package field

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Launch starts the node as a member of a run: the field's first node opens it
// and holds its control server, the others join with a token each, which they
// wait for. A node that was killed comes back with another token.
func (n *Node) Launch(job string, min, workers int, more ...string) error {
	const port = "7400"
	first := n.field.Nodes[0]
	args := []string{"launch", job, "--json", "--quiet", "--node", fmt.Sprintf("%s%d", n.ID, n.Starts()+1), "--run-dir", n.Dir, "--threads", "1",
		"--nproc", strconv.Itoa(workers), "--nodes", fmt.Sprintf("%d:%d", min, n.field.cfg.Most), "--listen", n.Host + ":" + port}
	if n != first {
		if n.field.tokens+1 >= n.field.cfg.Most {
			return fmt.Errorf("node %s: all tokens are used", n.ID)
		}
		n.field.tokens++
		token := filepath.Join(first.Dir, "cluster", fmt.Sprintf("token-%d", n.field.tokens))
		if err := appear(token, first); err != nil {
			return fmt.Errorf("node %s: %w", n.ID, err)
		}
		args = append(args, "--join", first.Host+":"+port, "--token-file", token)
	}
	return n.Start(append(args, more...)...)
}

// appear waits until the node has written a file.
func appear(path string, by *Node) error {
	limit := time.Now().Add(30 * time.Second)
	for time.Now().Before(limit) && by.Running() {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return nil
		}
		<-time.After(5 * time.Millisecond)
	}
	return fmt.Errorf("node %s has not written %s; see %s", by.ID, path, by.Output("err", by.Starts()))
}
