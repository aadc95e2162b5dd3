package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// trainTiny trains the job of this folder into a run folder and returns the
// result.
func trainTiny(t *testing.T, dir string, more ...string) map[string]any {
	t.Helper()
	o := command(t, append([]string{"train", "job.yaml", "--json", "--quiet", "--run-dir", dir, "--threads", "1"}, more...)...)
	m := o.object(t)
	if o.code != 0 {
		t.Fatalf("train %v: exit status %d: %v", more, o.code, m["error"])
	}
	return m
}

func TestTrain(t *testing.T) {
	inFolder(t, tiny)
	m := trainTiny(t, "r", "--nproc", "1", "--seed", "7", "--compare")
	for key, want := range map[string]any{"world": 1.0, "threads": 1.0, "seed": 7.0, "run": "grown", "name": "job", "samples": 5728.0, "run_dir": "r", "report": "r/report.html"} {
		if m[key] != want {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	for _, key := range []string{"test_accuracy", "params", "train_flops", "fixed_train_flops", "seconds", "steps", "digest", "job"} {
		if m[key] == nil {
			t.Errorf("%s is missing in %v", key, m)
		}
	}
	fixed, _ := m["fixed"].(map[string]any)
	if fixed["run"] != "fixed" || fixed["samples"] != m["samples"] || fixed["params"] != m["params"] || fixed["train_flops"] != m["fixed_train_flops"] {
		t.Errorf("the fixed run does not match the grown one:\n%v\n%v", fixed, m)
	}
	for _, f := range []string{"job.yaml", "metrics.jsonl", "environment.json", "log.jsonl", "report.html", "checkpoints", "plots", "fixed/job.yaml"} {
		if _, err := os.Stat("r/" + f); err != nil {
			t.Error(err)
		}
	}

	t.Run("again", func(t *testing.T) {
		o := command(t, "train", "r", "--json")
		if again := o.object(t); again["digest"] != m["digest"] || !strings.Contains(o.stderr, "r is finished; to train it anew, add --fresh") {
			t.Errorf("got %v\n%s", again, o.stderr)
		}
	})
	t.Run("another job", func(t *testing.T) {
		o := command(t, "train", "job.yaml", "--run-dir", "r", "--seed", "8")
		if o.code != 64 || !strings.Contains(o.stderr, "seed was 7, is 8") || !strings.Contains(o.stderr, "--run-dir r-2") {
			t.Errorf("exit status %d: %s", o.code, o.stderr)
		}
	})
	t.Run("in use", func(t *testing.T) {
		lock, err := lockFolder("r")
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if o := command(t, "train", "r"); o.code != 75 || !strings.Contains(o.stderr, "r is in use") {
			t.Errorf("exit status %d: %s", o.code, o.stderr)
		}
	})
	t.Run("eval", func(t *testing.T) {
		e := command(t, "eval", "r", "--json", "--threads", "1").object(t)
		if e["test_accuracy"] != m["test_accuracy"] || e["count"] != 1797.0 || e["digest"] != m["digest"] {
			t.Errorf("got %v, training said %v", e, m)
		}
		path, _ := e["checkpoint"].(string)
		if one := command(t, "eval", path, "--json").object(t); one["test_accuracy"] != m["test_accuracy"] {
			t.Errorf("%s: got %v", path, one)
		}
	})
	t.Run("export", func(t *testing.T) { testExport(t, m) })
	t.Run("fresh", func(t *testing.T) {
		again := trainTiny(t, "r", "--nproc", "1", "--seed", "8", "--fresh")
		if again["digest"] == m["digest"] || again["fixed"] != nil {
			t.Errorf("got %v", again)
		}
	})
}

func testExport(t *testing.T, m map[string]any) {
	shapes := map[string][]int{}
	values := map[string][]byte{}
	for _, layout := range []string{"espalier", "pytorch"} {
		x := command(t, "export", "r", "-o", layout+".safetensors", "--layout", layout, "--json").object(t)
		if x["params"] != m["params"] {
			t.Errorf("export says %v parameters, training %v", x["params"], m["params"])
		}
		tensors, meta, err := checkpoint.Import(layout + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		if meta["model"] != "resnet-8" || meta["layout"] != layout {
			t.Errorf("metadata %v", meta)
		}
		for _, x := range tensors {
			shapes[layout+" "+x.Name], values[layout+" "+x.Name] = x.Shape, x.Data
		}
	}
	for name, want := range map[string][]int{
		"espalier conv1.weight": {3, 3, 1, 4}, "pytorch conv1.weight": {4, 1, 3, 3},
		"espalier fc.weight": {16, 10}, "pytorch fc.weight": {10, 16}, "pytorch bn1.running_var": {4},
	} {
		if got := shapes[name]; len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%s has shape %v, want %v", name, got, want)
		}
	}
	// fc.weight[in=2][out=5] is weight[5][2].
	if a, b := values["espalier fc.weight"][4*25:4*26], values["pytorch fc.weight"][4*(5*16+2):4*(5*16+3)]; !bytes.Equal(a, b) {
		t.Errorf("fc.weight is not transposed: %x, %x", a, b)
	}
}

func TestUnfinishedRunsHaveNoNetworkToExport(t *testing.T) {
	inFolder(t, tiny)
	write(t, "r/job.yaml", jobMark+tiny)
	if o := command(t, "eval", "r"); o.code != 1 || !strings.Contains(o.stderr, "r has no complete checkpoint") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
}

// TestWorldSize: the same bits on 1, 2 and 4 workers and with 2 threads, with
// growth events on the way.
func TestWorldSize(t *testing.T) {
	inFolder(t, tiny)
	want := trainTiny(t, "r1", "--nproc", "1")
	for _, args := range [][]string{{"--nproc", "2"}, {"--nproc", "4"}, {"--nproc", "1", "--set", "run.threads=2"}} {
		got := trainTiny(t, "r"+strings.Join(args, ""), args...)
		if got["digest"] != want["digest"] || got["test_accuracy"] != want["test_accuracy"] {
			t.Errorf("%v: digest %v accuracy %v, want %v and %v", args, got["digest"], got["test_accuracy"], want["digest"], want["test_accuracy"])
		}
	}
}

// TestFastMode: results depend on the number of workers, so a run goes on with
// as many as it began with, and with no other number.
func TestFastMode(t *testing.T) {
	inFolder(t, tiny)
	m := trainTiny(t, "r", "--nproc", "2", "--strict=false", "--set", "train.epochs=0.5")
	if m["world"] != 2.0 {
		t.Errorf("got %v", m)
	}
	if again := command(t, "train", "r", "--json").object(t); again["digest"] != m["digest"] {
		t.Errorf("got %v", again)
	}
	o := command(t, "train", "r", "--nproc", "1")
	if o.code != 64 || !strings.Contains(o.stderr, "it had another number of workers") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
}

// TestFailedStartsAreForgotten: a run that diverged before it saved anything
// does not stand in the way of the next job, but of --resume.
func TestFailedStartsAreForgotten(t *testing.T) {
	inFolder(t, tiny)
	args := []string{"train", "job.yaml", "--nproc", "2", "--threads", "1", "--json", "--quiet", "--set", "train.epochs=0.5", "--set", "checkpoint.every=0"}
	o := command(t, append(args, "--set", "optim.lr=1000")...)
	if text, _ := o.object(t)["error"].(string); o.code != 1 || !strings.Contains(text, "training diverged: the loss is NaN; try a lower learning rate or clipping") {
		t.Fatalf("exit status %d: %s", o.code, o.stdout)
	}
	if o := command(t, append(args, "--resume")...); o.code != 64 {
		t.Errorf("--resume: exit status %d: %s", o.code, o.stderr)
	}
	if o := command(t, args...); o.code != 0 {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
}

// at calls do once, when the text has been written.
type at struct {
	text string
	do   func()
	once sync.Once
	all  bytes.Buffer
	mu   sync.Mutex
}

func (w *at) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if bytes.Contains(w.all.Bytes(), []byte(w.text)) {
		w.once.Do(w.do)
	}
	return len(p), nil
}

// TestStopAndGoOn: a run that is asked to stop, and goes on, ends with the
// bits of one that was not.
func TestStopAndGoOn(t *testing.T) {
	inFolder(t, tiny)
	want := trainTiny(t, "whole", "--nproc", "1")
	for _, nproc := range []string{"1", "2"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch := &at{text: "eval ", do: cancel}
		dir := "cut" + nproc
		code := execute(ctx, []string{"train", "job.yaml", "--run-dir", dir, "--nproc", nproc, "--threads", "1"}, io.Discard, watch)
		if code != 143 || !strings.Contains(watch.all.String(), "go on with: espalier train "+dir) {
			t.Fatalf("%s workers: exit status %d\n%s", nproc, code, watch.all.String())
		}
		got := trainTiny(t, dir, "--resume")
		if got["digest"] != want["digest"] {
			t.Errorf("%s workers: digest %v, want %v", nproc, got["digest"], want["digest"])
		}
	}
}
