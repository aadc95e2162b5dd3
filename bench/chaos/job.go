package main

import (
	"os"
	"path/filepath"

	"github.com/espalier-ml/espalier/bench/field"
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

// reference trains the job on one rank without disturbance.
func reference(s settings) (field.Result, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return field.Result{}, err
	}
	job := filepath.Join(s.dir, "job.yaml")
	if err := os.WriteFile(job, []byte(jobText), 0o644); err != nil {
		return field.Result{}, err
	}
	return field.Alone(s.binary, job, filepath.Join(s.dir, "undisturbed"))
}
