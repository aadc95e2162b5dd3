package solo_test

import (
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/solo"
)

func TestConformance(t *testing.T) {
	collectivetest.Run(t, collectivetest.Transport{
		Worlds: []int{1},
		Open: func(int, time.Duration) ([]collective.Comm, error) {
			return []collective.Comm{solo.New(collective.Gen{})}, nil
		},
	})
}
