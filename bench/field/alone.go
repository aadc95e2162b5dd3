package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Result is what a run prints at its end.
type Result struct {
	Digest   string   `json:"digest"`
	Steps    uint64   `json:"steps"`
	Accuracy *float64 `json:"test_accuracy"`
}

// Alone trains a job undisturbed on one rank: what trials are held against.
func Alone(binary, job, dir string) (Result, error) {
	out, err := exec.Command(binary, "train", job, "--nproc", "1", "--quiet", "--json", "--run-dir", dir, "--fresh").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return Result{}, fmt.Errorf("the undisturbed run: %w: %s", err, exit.Stderr)
	}
	if err != nil {
		return Result{}, fmt.Errorf("the undisturbed run: %w", err)
	}
	return parse(out)
}

// Result reads what the node's k-th start has printed.
func (n *Node) Result(k int) (Result, error) {
	out, err := os.ReadFile(n.Output("out", k))
	if err != nil {
		return Result{}, err
	}
	r, err := parse(out)
	if err != nil {
		return r, fmt.Errorf("node %s: %w", n.ID, err)
	}
	return r, nil
}

func parse(out []byte) (r Result, err error) {
	if err = json.Unmarshal(out, &r); err == nil && r.Digest == "" {
		err = errors.New("a result without a digest")
	}
	return r, err
}
