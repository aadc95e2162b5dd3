package node_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/gen"
	"github.com/espalier-ml/espalier/cluster/node"
)

// BenchmarkReform is the time from a worker's death to the order that forms
// the next generation, 20 ms of it to let things settle.
func BenchmarkReform(b *testing.B) {
	for _, path := range []string{"", filepath.Join(b.TempDir(), "memory")} {
		b.Run(fmt.Sprintf("disk=%t", path != ""), func(b *testing.B) {
			s, err := node.New(b.Context(), node.Config{
				Self: cluster.Node{ID: "a", Host: "h", Build: "b", Job: "j"}, MaxNodes: 1,
				Store: control.NewMemory(), Path: path,
				// A generation that lives for less than a beat counts as failed, and the next waits longer.
				Times: gen.Times{Tick: 2 * time.Millisecond, Beat: 2 * time.Millisecond},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(b.Context())
			n := uint64(0)
			next := func() {
				s.Announce([]string{fmt.Sprint("127.0.0.1:", n)}, n)
				if n > 0 {
					s.Broke(n, cluster.Fault{Why: "a worker was killed", Blame: "a"})
				}
				for o := range s.Orders() {
					if o.Kind == cluster.Form {
						n = o.N
						return
					}
				}
			}
			next()
			for b.Loop() {
				b.StopTimer()
				s.Opened(n)
				for s.View().Phase != "running" {
				}
				time.Sleep(10 * time.Millisecond)
				b.StartTimer()
				next()
			}
		})
	}
}
