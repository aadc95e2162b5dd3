package tcp_test

import (
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/tcp"
)

func TestConformance(t *testing.T) {
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{1, 2, 3, 4, 5, 6, 7, 8},
		Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
			return open(world, tcp.Options{Timeout: timeout}, nil)
		},
	})
}
