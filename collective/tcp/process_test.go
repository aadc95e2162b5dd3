package tcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// TestMain lets the test binary be a rank in a process of its own.
func TestMain(m *testing.M) {
	if text := os.Getenv("TCP_TEST_PEERS"); text != "" {
		reduceForEver(text)
		return
	}
	os.Exit(m.Run())
}

// reduceForEver is the last rank of a group, which prints a line a sum.
func reduceForEver(text string) {
	var peers []tcp.Peer
	if err := json.Unmarshal([]byte(text), &peers); err != nil {
		panic(err)
	}
	c, err := tcp.Open(context.Background(), collective.Gen{}, collective.Rank(len(peers)-1), peers, tcp.Options{Plain: true})
	if err != nil {
		panic(err)
	}
	data := make([]float32, 100000)
	for {
		if err := c.AllReduce(collective.Float32s(data), collective.Sum, collective.OpMeta{}).Wait(context.Background()); err != nil {
			fmt.Println("failed:", err)
			return
		}
		fmt.Println("sum")
	}
}

// A process that is killed in the middle of its work is noticed by the end of
// its connections; one that is stopped, by its silence.
func TestProcessEnds(t *testing.T) {
	tests := []struct {
		name   string
		signal syscall.Signal
		kind   error
		words  string
	}{
		{"killed", syscall.SIGKILL, collective.ErrAborted, "rank 2 is gone"},
		{"stopped", syscall.SIGSTOP, collective.ErrDeadline, "no sign of life from rank 2 for 300ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peers, listeners, err := addresses(3)
			if err != nil {
				t.Fatal(err)
			}
			listeners[2].Close()
			text, _ := json.Marshal(peers)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "TCP_TEST_PEERS="+string(text))
			child.Stderr = os.Stderr
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer child.Wait()
			defer child.Process.Kill()

			comms := make([]collective.Comm, 2)
			opened := make(chan error)
			for r := range comms {
				go func() {
					c, err := tcp.Open(context.Background(), collective.Gen{}, collective.Rank(r), peers, tcp.Options{
						Plain: true, Listener: listeners[r], Heartbeat: 50 * time.Millisecond, Silence: 300 * time.Millisecond})
					comms[r] = c
					opened <- err
				}()
			}
			for range comms {
				if err := <-opened; err != nil {
					t.Fatal(err)
				}
			}
			sent := make(chan time.Time, 1)
			go func() {
				lines := bufio.NewScanner(out)
				for range 5 {
					lines.Scan()
				}
				sent <- time.Now()
				child.Process.Signal(tt.signal)
			}()
			each(comms, func(c collective.Comm) {
				data := make([]float32, 100000)
				for {
					err := wait(c.AllReduce(collective.Float32s(data), collective.Sum, collective.OpMeta{}))
					if err == nil {
						continue
					}
					if !errors.Is(err, collective.ErrAborted) || !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.words) {
						t.Errorf("rank %d: %v", c.Info().Rank, err)
					}
					var abort *collective.AbortError
					if !errors.As(err, &abort) || !slices.Equal(abort.Missing, []collective.Rank{2}) {
						t.Errorf("rank %d: %v, missing %v, want rank 2", c.Info().Rank, err, abort.Missing)
					}
					if c.Info().Rank == 0 {
						t.Logf("noticed after %v", time.Since(<-sent))
					}
					break
				}
				c.Close(context.Background())
			})
		})
	}
}
