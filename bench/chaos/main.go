// Command chaos trains a job on nodes of which some die, hang, leave, or are
// cut off, and checks that every run ends with the digest of the undisturbed
// run of a single rank.
//
//	go run ./bench/chaos -n 100                   # hundred random schedules
//	go run ./bench/chaos -n 1 -seed 42 -v         # the one that failed
//
// A schedule is a function of its seed. What it prints last is a table of
// recovery times: from the fault to the next committed step, as seen in the
// records of a node that lives.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/bench/field"
)

type settings struct {
	binary, dir string
	schedules   int
	seed        uint64
	nodes       int
	workers     int
	control     int
	verbose     bool
	loopback    bool
	limit       time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "./espalier", "the command under trial")
	flag.StringVar(&s.dir, "dir", "", "folder for runs; of schedules that fail it is kept")
	flag.IntVar(&s.schedules, "n", 100, "number of schedules")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the first one")
	flag.IntVar(&s.nodes, "nodes", 3, "nodes")
	flag.IntVar(&s.workers, "workers", 1, "workers of a node")
	flag.IntVar(&s.control, "control", 0, "nodes with control servers: 1, 3, or 0 for one in schedules of even seed and three in others")
	flag.BoolVar(&s.loopback, "loopback", false, "no network namespaces, so no links that are cut")
	flag.BoolVar(&s.verbose, "v", false, "tell every fault")
	flag.DurationVar(&s.limit, "limit", 3*time.Minute, "after which a run counts as hanging")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "chaos")
		if err != nil {
			return err
		}
		s.dir = dir
	}
	ref, err := reference(s)
	if err != nil {
		return err
	}
	fmt.Printf("undisturbed: %d steps, digest %.16s\n", ref.Steps, ref.Digest)
	tally := newTally()
	var failed []uint64
	for i := range uint64(s.schedules) {
		seed := s.seed + i
		t := trial{settings: s, seed: seed, ref: ref, tally: tally, dir: filepath.Join(s.dir, fmt.Sprintf("schedule-%d", seed))}
		began := time.Now()
		err := t.run()
		verdict := "same digest"
		if err != nil {
			verdict = "FAILED: " + err.Error()
			failed = append(failed, seed)
		} else if err := os.RemoveAll(t.dir); err != nil {
			return err
		}
		fmt.Printf("schedule %d (%s): %s, %.1f s\n", seed, describe(t.faults), verdict, time.Since(began).Seconds())
	}
	tally.print(os.Stdout)
	fmt.Printf("%d schedules, %d failed", s.schedules, len(failed))
	if len(failed) > 0 {
		fmt.Printf(": seeds %v, runs in %s\n", failed, s.dir)
		return errors.New("not all runs ended with the same digest")
	}
	fmt.Println(": every run ended with the digest of the undisturbed one")
	return nil
}

// allowed are the faults that this machine can make.
func allowed(f *field.Field) (all []kind) {
	for k := range kinds {
		if (k == cutNode || k == fillDisk) && !f.Namespaces() {
			continue
		}
		all = append(all, k)
	}
	return slices.Clip(all)
}
