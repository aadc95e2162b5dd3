package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// jobText grows, thins and quantizes a small network on real data, with
// checkpoints in between. Every step is recorded.
const jobText = `name: chaos
data: {name: optdigits}
model: {name: resnet-8, base: 8}
train: {epochs: 6, batch: 128, shards: 8}
optim: {name: sgd, lr: 0.05, momentum: 0.9}
grow: {multipliers: [0.5, 0.75, 1], epochs: [1, 1, 4]}
sparsify: {goal: prune, rounds: 1, rise: step, start: 2, epochs: 2, s0: -0.02}
quantize: {start: 4, epochs: 1, price: 0.3, group: 4}
checkpoint: {every: 0.5}
eval: {every: 1}
log: {every: 1}
run: {threads: 1}
`

// outcome is the result that a run prints.
type outcome struct {
	Digest string `json:"digest"`
	Steps  uint64 `json:"steps"`
}

// reference trains the job on one rank without disturbance.
func reference(s settings) (outcome, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return outcome{}, err
	}
	job := filepath.Join(s.dir, "job.yaml")
	if err := os.WriteFile(job, []byte(jobText), 0o644); err != nil {
		return outcome{}, err
	}
	c := exec.Command(s.binary, "train", job, "--nproc", "1", "--quiet", "--json", "--run-dir", filepath.Join(s.dir, "undisturbed"), "--fresh")
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return outcome{}, fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return outcome{}, err
	}
	return parse(out)
}

func parse(out []byte) (o outcome, err error) {
	if err = json.Unmarshal(out, &o); err == nil && o.Digest == "" {
		err = errors.New("a result without a digest")
	}
	return o, err
}
