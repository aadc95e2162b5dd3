package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary is also the command, for workers and for runs that are
// killed.
const commandKey = "ESPALIER_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandKey) != "" {
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// tiny is a job of about a second whose network grows, on embedded data.
const tiny = `
data: {name: optdigits, augment: {pad: 1}}
model: {name: resnet-8, base: 4}
train: {epochs: 1.5, batch: 32}
grow: {stages: 3, growth: 0.6}
checkpoint: {every: 0.25}
eval: {every: 0.5}
log: {every: 10}
`

// outcome is what a command left behind.
type outcome struct {
	code   int
	stdout string
	stderr string
}

func command(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := execute(t.Context(), args, &out, &errs)
	return outcome{code, out.String(), errs.String()}
}

// object decodes standard output, which must be exactly one JSON object.
func (o outcome) object(t *testing.T) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(o.stdout))
	m := map[string]any{}
	if err := d.Decode(&m); err != nil || d.More() {
		t.Fatalf("standard output is not one JSON object: %v\n%s\n%s", err, o.stdout, o.stderr)
	}
	return m
}

// inFolder writes a job file and moves the test into its folder. Workers are
// this test binary.
func inFolder(t *testing.T, job string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv(commandKey, "1")
	write(t, "job.yaml", job)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestErrors: each has its exit status and says what to do.
func TestErrors(t *testing.T) {
	inFolder(t, tiny)
	write(t, "bad.yaml", "train: {epoch: 3}\n")
	write(t, "full/notes.txt", "mine")
	write(t, "mine/job.yaml", tiny)
	for _, c := range []struct {
		name string
		args string
		code int
		want string
	}{
		{"no job", "train", 64, "train what?"},
		{"unknown recipe", "train digts", 64, `no recipe and no job file "digts"; did you mean digits? recipes are cifar10-mobilenet-growing, `},
		{"no file", "train nope.yaml", 64, "job file: stat nope.yaml: no such file or directory"},
		{"unknown key", "train bad.yaml", 64, "bad.yaml:1:9: train.epoch: unknown key; did you mean train.epochs?"},
		{"wrong flag value", "train job.yaml --nproc x", 64, `--nproc x: run.nproc: want whole number from 1 to 64, or auto, not "x"`},
		{"set without value", "train job.yaml --set seed", 64, "--set seed: want KEY=VALUE"},
		{"unknown flag", "train --bogus", 64, "unknown flag: --bogus; see espalier train --help"},
		{"unknown command", "tarin", 64, `unknown command "tarin"`},
		{"missing argument", "eval", 64, "accepts 1 arg(s), received 0; see espalier eval --help"},
		{"nothing to resume", "train job.yaml --resume", 64, "--resume: there is no run in runs/job"},
		{"resume and fresh", "train job.yaml --resume --fresh", 64, "none of the others can be"},
		{"folder of others", "train job.yaml --run-dir full", 64, "run folder full is not empty and holds no run (notes.txt, for instance); name a new folder with --run-dir"},
		{"job file of the user", "train job.yaml --run-dir mine --fresh", 64, "mine/job.yaml was not written by espalier train"},
		{"missing data", "train job.yaml --data /nonexistent --set data.name=cifar10 --set data.augment.pad=4", 64, "fetch it with `espalier data get cifar10`"},
		{"text model on images", "train job.yaml --set model.name=lstm --set data.augment.pad=0", 64, "model.name lstm has no such key"},
		{"eval of no run", "eval full", 64, "full is no run folder: it has no job.yaml"},
		{"export to nowhere", "export runs/job", 64, "name the file to write with -o"},
		{"layout", "export runs/job -o x --layout torch", 64, "--layout torch: want espalier or pytorch"},
		{"unknown data set", "data verify cifar", 64, `unknown data set "cifar"`},
		{"unknown key to explain", "config explain optim.rate", 64, "unknown key"},
		{"worker by hand", "worker runs/job", 64, "worker is started by espalier train"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := command(t, append(strings.Fields(c.args), "--json")...)
			m := o.object(t)
			text, _ := m["error"].(string)
			if o.code != c.code || m["code"] != float64(c.code) || !strings.Contains(text, c.want) {
				t.Errorf("exit status %d, object %v\nwant %d and %q", o.code, m, c.code, c.want)
			}
			if _, err := os.Stat("runs/job"); err == nil {
				t.Error("a run folder was made")
			}
			if !strings.Contains(o.stderr, "espalier: ") {
				t.Errorf("standard error says nothing: %q", o.stderr)
			}
		})
	}
}

func TestSmallCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args, text, key string
	}{
		{"version", "espalier ", "version"},
		{"data list", "part of the binary", "data"},
		{"data verify optdigits", "optdigits", "data"},
		{"config explain", "# * whole number", "keys"},
		{"config explain schedule.decay", "shape of the curve", "keys"},
		{"config explain --job digits --set seed=4", "seed: 4                            # --set seed=4", "values"},
		{"train --list", "shakespeare-transformer  ", "recipes"},
	} {
		plain := command(t, strings.Fields(c.args)...)
		if plain.code != 0 || !strings.Contains(plain.stdout, c.text) {
			t.Errorf("%s: exit status %d, %q is not in\n%s%s", c.args, plain.code, c.text, plain.stdout, plain.stderr)
		}
		o := command(t, append(strings.Fields(c.args), "--json")...)
		if _, ok := o.object(t)[c.key]; !ok || !strings.Contains(o.stderr, c.text) {
			t.Errorf("%s --json: no %s in %s, or no text on standard error", c.args, c.key, o.stdout)
		}
	}
	for _, help := range []string{"--help", "train --help", "help eval", "completion bash", "data --help", "config", "data", ""} {
		if o := command(t, strings.Fields(help)...); o.code != 0 || len(o.stdout) < 100 {
			t.Errorf("%s: exit status %d\n%s%s", help, o.code, o.stdout, o.stderr)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Chdir(t.TempDir())
	m := command(t, "doctor", "--json").object(t)
	for _, key := range []string{"cpu", "kernels", "processors", "fma_peak_1_gflops", "fma_peak_n_gflops", "memory_total", "disk_free", "data", "advice"} {
		if _, ok := m[key]; !ok {
			t.Errorf("doctor does not tell %s", key)
		}
	}
	if n, _ := m["processors"].(float64); n < 1 {
		t.Errorf("%v processors", m["processors"])
	}
	if left, _ := os.ReadDir("."); len(left) != 0 {
		t.Errorf("doctor left %v behind", left)
	}
}
