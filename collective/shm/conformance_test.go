package shm_test

import (
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/collectivetest"
	"github.com/espalier-ml/espalier/collective/shm"
)

func TestConformance(t *testing.T) {
	groups := map[string]func(world int, o shm.Options) ([]collective.Comm, error){
		"memfd": shm.NewGroup,
		"heap":  shm.NewHeapGroup,
	}
	for name, open := range groups {
		t.Run(name, func(t *testing.T) {
			collectivetest.Run(t, collectivetest.Transport{
				Worlds: []int{1, 2, 3, 4, 5, 6, 7, 8},
				Open: func(world int, timeout time.Duration) ([]collective.Comm, error) {
					return open(world, shm.Options{Timeout: timeout})
				},
			})
		})
	}
}
