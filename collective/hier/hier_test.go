package hier_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/hier"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// hosts makes the two groups of every rank of hosts of the given sizes, by
// host and index.
func hosts(sizes []int, timeout time.Duration) (local, across [][]collective.Comm, err error) {
	longest := 0
	for _, n := range sizes {
		comms, err := shm.NewGroup(n, shm.Options{Timeout: timeout})
		if err != nil {
			return nil, nil, err
		}
		local = append(local, comms)
		across = append(across, make([]collective.Comm, n))
		longest = max(longest, n)
	}
	for l := range longest {
		var members []int // hosts that have this index
		for h, n := range sizes {
			if l < n {
				members = append(members, h)
			}
		}
		comms, err := connect(len(members), 4*timeout)
		if err != nil {
			return nil, nil, err
		}
		for i, h := range members {
			across[h][l] = comms[i]
		}
	}
	return local, across, nil
}

// connect is a TCP group on loopback, or a group of one.
func connect(world int, timeout time.Duration) ([]collective.Comm, error) {
	if world == 1 {
		return []collective.Comm{solo.New(collective.Gen{})}, nil
	}
	peers, listeners := make([]tcp.Peer, world), make([]net.Listener, world)
	for r := range peers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		peers[r], listeners[r] = tcp.Peer{Rank: collective.Rank(r), Addr: ln.Addr().String()}, ln
	}
	comms, errs := make([]collective.Comm, world), make([]error, world)
	var wg sync.WaitGroup
	for r := range peers {
		wg.Go(func() {
			c, err := tcp.Open(context.Background(), collective.Gen{}, collective.Rank(r), peers, tcp.Options{Plain: true, Listener: listeners[r], Timeout: timeout})
			comms[r], errs[r] = c, err
		})
	}
	wg.Wait()
	return comms, errors.Join(errs...)
}

// open joins them, all ranks at once.
func open(sizes []int, timeout time.Duration, o hier.Options) ([]collective.Comm, error) {
	local, across, err := hosts(sizes, timeout)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	comms, errs := make([]collective.Comm, total), make([]error, total)
	var wg sync.WaitGroup
	r := 0
	for h, n := range sizes {
		for l := range n {
			slot := r
			r++
			wg.Go(func() {
				c, err := hier.New(context.Background(), local[h][l], across[h][l], o)
				if errs[slot] = err; err == nil {
					comms[slot] = c
				}
			})
		}
	}
	wg.Wait()
	return comms, errors.Join(errs...)
}

func TestConformance(t *testing.T) {
	layouts := map[int][]int{1: {1}, 2: {1, 1}, 3: {1, 1, 1}, 4: {2, 2}, 6: {2, 2, 2}, 8: {4, 4}}
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{1, 2, 3, 4, 6, 8},
		Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
			return open(layouts[world], timeout, hier.Options{Chunk: 64 << 10})
		},
	})
}

// One host of several ranks is a layout as well.
func TestOneHost(t *testing.T) {
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{2, 4},
		Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
			return open([]int{world}, timeout, hier.Options{})
		},
	})
}

// Hosts of unequal or odd sizes are refused by every rank, by name.
func TestRefusesLayouts(t *testing.T) {
	tests := []struct {
		sizes []int
		words []string // one of them in the error of each rank
	}{
		{[]int{2, 1}, []string{"host 0 has 2 ranks, host 1 has 1", "index 0 is on 2 hosts, index 1 on 1"}},
		{[]int{2, 4, 2}, []string{"host 0 has 2 ranks, host 1 has 4", "index 0 is on 3 hosts, index 2 on 1"}},
		{[]int{3, 3}, []string{"3 ranks on a host: want a power of two"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.sizes), func(t *testing.T) {
			_, err := open(tt.sizes, 0, hier.Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			ranks := 0
			for _, line := range strings.Split(err.Error(), "\n") {
				ranks++
				known := false
				for _, w := range tt.words {
					known = known || strings.Contains(line, w)
				}
				if !known {
					t.Errorf("%q says none of %q", line, tt.words)
				}
			}
			total := 0
			for _, n := range tt.sizes {
				total += n
			}
			if ranks != total {
				t.Errorf("%d of %d ranks refuse: %v", ranks, total, err)
			}
		})
	}
}
