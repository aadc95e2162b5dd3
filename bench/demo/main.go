// Command demo shows a cluster at work: three nodes in network namespaces of
// their own (on loopback addresses without the privilege) train a growing job
// on real data; one node is killed, one stands still for a while, and one
// joins. The run ends with the digest of the undisturbed run of a single rank,
// and a table of how long the others stood still.
//
//	make cluster-demo
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/espalier-ml/espalier/bench/field"
)

// jobText is the growing job of the demonstration; every step is recorded.
const jobText = `name: demo
data: {name: optdigits}
model: {name: resnet-14, base: 16}
train: {epochs: 90, batch: 128, shards: 8}
optim: {name: sgd, lr: 0.1, momentum: 0.9}
grow: {stages: 5}
eval: {every: 10}
checkpoint: {every: 5}
log: {every: 1}
run: {threads: 1}
`

func main() {
	binary := flag.String("binary", "./espalier", "the command")
	loopback := flag.Bool("loopback", false, "no network namespaces")
	keep := flag.String("keep", "", "folder for the runs, which is kept")
	flag.Parse()
	if err := run(*binary, *keep, *loopback); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// moment is what happens when the run has come to a share of its steps.
type moment struct {
	share float64
	text  string
	do    func() error
	heal  func() // ends it, after a while
}

func run(binary, dir string, loopback bool) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "cluster-demo"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	job := filepath.Join(dir, "job.yaml")
	if err := os.WriteFile(job, []byte(jobText), 0o644); err != nil {
		return err
	}
	want, err := field.Alone(binary, job, filepath.Join(dir, "undisturbed"))
	if err != nil {
		return err
	}
	if want.Accuracy == nil {
		return errors.New("the undisturbed run has no accuracy")
	}
	fmt.Printf("undisturbed, one rank: %d steps, accuracy %.2f %%, digest %.16s\n", want.Steps, 100**want.Accuracy, want.Digest)

	f, err := field.New(field.Config{Binary: binary, Dir: dir, Nodes: 4, Most: 8, Loopback: loopback})
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Printf("three nodes with one worker each, in network namespaces: %v\n", f.Namespaces())
	return play(f, job, want)
}

// play starts three nodes and lets happen what is to be shown.
func play(f *field.Field, job string, want field.Result) error {
	a, b, c, d := f.Nodes[0], f.Nodes[1], f.Nodes[2], f.Nodes[3]
	seen := field.Follow(a.Dir)
	defer seen.Close()
	for _, n := range f.Nodes[:3] {
		if err := n.Launch(job, 1, 1); err != nil {
			return err
		}
	}
	fmt.Printf("\n| step | what happens | the others stand still for, s |\n| --- | --- | --- |\n")
	for _, m := range []moment{
		{0.2, "node b is killed (SIGKILL, agent and worker)", func() error { b.Kill(); return nil }, nil},
		{0.35, "node d joins", func() error { return d.Launch(job, 1, 1) }, nil},
		{0.5, "node c stands still for 8 s (SIGSTOP, agent and worker)", func() error { return signal(c, syscall.SIGSTOP) },
			func() { time.Sleep(8 * time.Second); signal(c, syscall.SIGCONT) }},
	} {
		at := uint64(m.share * float64(want.Steps))
		if _, ok := seen.Beyond(at-1, 3*time.Minute); !ok {
			return fmt.Errorf("the run did not come to step %d; see %s", at, a.Output("err", 1))
		}
		began := time.Now()
		if err := m.do(); err != nil {
			return err
		}
		if m.heal != nil {
			go m.heal()
		}
		still, err := longestPause(seen, began)
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %s | %.2f |\n", at, m.text, still.Seconds())
	}
	return compare(f, want)
}

// longestPause is the longest time between two steps within some seconds.
func longestPause(p *field.Progress, since time.Time) (longest time.Duration, err error) {
	before := since
	for time.Since(since) < 4*time.Second {
		step, _ := p.Last()
		at, ok := p.Beyond(step, time.Minute)
		if !ok {
			return 0, errors.New("no further step within a minute")
		}
		longest, before = max(longest, at.Sub(before)), at
	}
	return longest, nil
}

func signal(n *field.Node, s syscall.Signal) error {
	for _, pid := range n.Everyone() {
		if err := syscall.Kill(pid, s); err != nil {
			return err
		}
	}
	return nil
}

// compare waits for all nodes that live and holds their digests against that
// of the undisturbed run.
func compare(f *field.Field, want field.Result) error {
	fmt.Println()
	for _, n := range f.Nodes {
		if n.ID == "b" {
			continue // is dead
		}
		if err := n.Wait(5 * time.Minute); err != nil {
			return fmt.Errorf("node %s: %w; see %s", n.ID, err, n.Output("err", 1))
		}
		got, err := n.Result(1)
		if err != nil {
			return err
		}
		if got.Digest != want.Digest {
			return fmt.Errorf("node %s ends with digest %.16s, want %.16s", n.ID, got.Digest, want.Digest)
		}
		fmt.Printf("node %s: %d steps, digest %.16s\n", n.ID, got.Steps, got.Digest)
	}
	fmt.Println("the same bits as the undisturbed run of one rank")
	return nil
}
