package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/espalier-ml/espalier/bench/step"
)

// peer is how to start PyTorch.
type peer struct {
	python  string
	scripts string // folder of the scripts
	blas    string // folder with the OpenMP build of OpenBLAS, may be empty
}

func (p peer) command(ctx context.Context, script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.python, append([]string{filepath.Join(p.scripts, script)}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Env = os.Environ()
	if p.blas != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+p.blas)
	}
	return cmd
}

// measure runs a case in one memory format.
func (p peer) measure(ctx context.Context, c step.Case, format string) (r step.Result, err error) {
	cmd := p.command(ctx, "torch_step.py", "--model", c.Model, "--threads", strconv.Itoa(c.Threads),
		"--workers", strconv.Itoa(c.Workers), "--batch", strconv.Itoa(c.Batch),
		"--steps", strconv.Itoa(c.Steps), "--warmup", strconv.Itoa(c.Warmup), "--format", format)
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("pytorch %s: %w", c.Model, err)
	}
	if err := json.Unmarshal(bytes.TrimSpace(out), &r); err != nil {
		return r, fmt.Errorf("pytorch %s printed %q: %w", c.Model, out, err)
	}
	return r, nil
}

// formats are the memory layouts worth trying.
func formats(model string) []string {
	switch model {
	case "mlp", "lstm", "transformer":
		return []string{"contiguous"}
	}
	return []string{"contiguous", "channels_last"}
}
