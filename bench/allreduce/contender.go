package allreduce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// contender is a group of processes that does operations on demand. Between
// its turns they wait for orders without using a processor.
type contender struct {
	name  string
	ln    *net.UnixListener
	cmds  []*exec.Cmd
	conns []net.Conn
	lines []*bufio.Reader
	dir   string
	end   sync.Once
}

// absent is why a contender does not take part.
type absent struct{ why string }

func (a absent) Error() string { return a.why }

// launch starts the processes of a contender; commands makes them, given the
// path of the socket and a folder that lasts as long.
func launch(name string, world int, commands func(socket, dir string) ([]*exec.Cmd, error)) (c *contender, err error) {
	c = &contender{name: name}
	defer func() {
		if err != nil {
			c.close()
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	if c.dir, err = os.MkdirTemp("", "allreduce"); err != nil {
		return c, err
	}
	socket := filepath.Join(c.dir, "orders")
	if c.ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}); err != nil {
		return c, err
	}
	cmds, err := commands(socket, c.dir)
	if err != nil {
		return c, err
	}
	for _, cmd := range cmds {
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return c, err
		}
		c.cmds = append(c.cmds, cmd)
	}
	return c, c.welcome(world)
}

// welcome waits for the ranks and tells them of each other.
func (c *contender) welcome(world int) error {
	c.ln.SetDeadline(time.Now().Add(time.Minute))
	c.conns, c.lines = make([]net.Conn, world), make([]*bufio.Reader, world)
	addrs := make([]string, world)
	for range world {
		conn, err := c.ln.Accept()
		if err != nil {
			return fmt.Errorf("waiting for ranks: %w", err)
		}
		lines := bufio.NewReader(conn)
		line, err := lines.ReadString('\n')
		words := strings.Fields(line)
		if err != nil || len(words) < 2 || words[0] != "hello" {
			return fmt.Errorf("a rank greets with %q, %w", line, err)
		}
		r, err := strconv.Atoi(words[1])
		if err != nil || r < 0 || r >= world || c.conns[r] != nil {
			return fmt.Errorf("a rank calls itself %q", words[1])
		}
		c.conns[r], c.lines[r] = conn, lines
		if len(words) > 2 {
			addrs[r] = words[2]
		}
	}
	if addrs[0] == "" {
		return nil
	}
	return c.tell("peers " + strings.Join(addrs, " "))
}

func (c *contender) tell(line string) error {
	for r, conn := range c.conns {
		if _, err := fmt.Fprintln(conn, line); err != nil {
			return fmt.Errorf("%s: rank %d: %w", c.name, r, err)
		}
	}
	return nil
}

// turn is what a contender did in a turn.
type turn struct {
	batches []time.Duration // of one operation
	wrong   int
	allocs  float64 // of the rank with most
}

// run has the ranks do batches of n operations.
func (c *contender) run(bytes, n, batches int) (turn, error) {
	t := turn{batches: make([]time.Duration, batches)}
	if err := c.tell(fmt.Sprint("run ", bytes, " ", n, " ", batches)); err != nil {
		return t, err
	}
	for r, lines := range c.lines {
		line, err := lines.ReadString('\n')
		words := strings.Fields(line)
		if err != nil || len(words) != 3+batches || words[0] != "done" {
			return t, fmt.Errorf("%s: rank %d answers %q, %w", c.name, r, line, err)
		}
		wrong, err1 := strconv.Atoi(words[1])
		allocs, err2 := strconv.ParseFloat(words[2], 64)
		if err := errors.Join(err1, err2); err != nil {
			return t, fmt.Errorf("%s: rank %d: %w", c.name, r, err)
		}
		t.wrong += wrong
		t.allocs = max(t.allocs, allocs)
		for b := range batches {
			ns, err := strconv.ParseInt(words[3+b], 10, 64)
			if err != nil {
				return t, fmt.Errorf("%s: rank %d: %w", c.name, r, err)
			}
			t.batches[b] = max(t.batches[b], time.Duration(ns))
		}
	}
	return t, nil
}

// close ends the processes, kindly first.
func (c *contender) close() {
	c.end.Do(func() {
		for _, conn := range c.conns {
			if conn != nil {
				conn.Close()
			}
		}
		if c.ln != nil {
			c.ln.Close()
		}
		for _, cmd := range c.cmds {
			late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
			cmd.Wait()
			late.Stop()
		}
		os.RemoveAll(c.dir)
	})
}

// commandContext ties a process to the life of ctx.
func commandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
