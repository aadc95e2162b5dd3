package sim

import (
	"flag"
	"fmt"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed alone and tell its story")
	schedules = flag.Int("schedules", 400, "number of schedules to play")
	firstSeed = flag.Uint64("first", 1, "seed of the first schedule")
)

func TestSchedules(t *testing.T) {
	if *seedFlag != 0 {
		s := Generate(*seedFlag)
		t.Log(s)
		r := Run(s, Broken{}, func(f string, a ...any) { fmt.Printf(f+"\n", a...) })
		t.Log(r)
		for _, v := range r.Violations {
			t.Error(v)
		}
		return
	}
	bad := 0
	for i := range *schedules {
		s := Generate(*firstSeed + uint64(i))
		r := Run(s, Broken{}, nil)
		if len(r.Violations) > 0 {
			t.Errorf("%v\n%v", s, r.Violations)
			if bad++; bad > 5 {
				return
			}
		}
	}
}
