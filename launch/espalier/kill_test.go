package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// start runs the command as a process of its own and signals it when its
// standard error says the text for the nth time.
func start(t *testing.T, sig syscall.Signal, text string, n int, args ...string) *os.ProcessState {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), commandKey+"=1")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for s := bufio.NewScanner(errs); s.Scan(); {
		all.WriteString(s.Text() + "\n")
		if strings.Contains(s.Text(), text) {
			if n--; n == 0 {
				cmd.Process.Signal(sig)
			}
		}
	}
	cmd.Wait()
	if n > 0 {
		t.Fatalf("it never said %q:\n%s", text, all.String())
	}
	return cmd.ProcessState
}

// TestKilledRunsGoOn: kill -9 of the whole run, early and later, then the
// same command again, ends with the bits of the uninterrupted run.
func TestKilledRunsGoOn(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes")
	}
	inFolder(t, tiny)
	want := trainTiny(t, "whole", "--nproc", "1")
	for _, c := range []struct {
		nproc, text string
		n           int
	}{
		{"1", "grow ", 1}, {"2", "eval ", 2}, {"2", "grow ", 1},
	} {
		dir := fmt.Sprint("killed", c.nproc, c.text[:4], c.n)
		state := start(t, syscall.SIGKILL, c.text, c.n, "train", "job.yaml", "--run-dir", dir, "--nproc", c.nproc, "--threads", "1")
		if ws := state.Sys().(syscall.WaitStatus); !ws.Signaled() {
			t.Errorf("%s workers, %s: it ended before it was killed: %v", c.nproc, c.text, state)
		}
		got := trainTiny(t, dir, "--nproc", "2")
		if got["digest"] != want["digest"] || got["samples"] != want["samples"] {
			t.Errorf("%s workers, killed at %s%d: digest %v, want %v", c.nproc, c.text, c.n, got["digest"], want["digest"])
		}
	}
}

// TestSignals: SIGTERM and SIGINT save and stop with their own exit status.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes")
	}
	inFolder(t, tiny)
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		for _, nproc := range []string{"1", "2"} {
			dir := "r" + sig.String() + nproc
			state := start(t, sig, "eval ", 1, "train", "job.yaml", "--run-dir", dir, "--nproc", nproc, "--threads", "1")
			if state.ExitCode() != code {
				t.Errorf("%v with %s workers: exit status %d, want %d", sig, nproc, state.ExitCode(), code)
			}
		}
	}
}

// workers lists the worker processes that this process has started, oldest
// first.
func workers(t *testing.T) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Skip("the kernel does not list children")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// everyone is the number of all workers.
const everyone = -1

// resumedAt is the step that workers without a checkpoint went on from, 0 if the
// record says nothing of it.
func resumedAt(t *testing.T, dir string) (step int64) {
	t.Helper()
	log, err := metrics.ReadFile(filepath.Join(dir, metrics.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Events {
		if e.Event == metrics.EventResume {
			step = e.Step
		}
	}
	return step
}

// TestWorkersDie: a worker that is killed or stopped does not end the run. The
// others go on in place, a new one joins, and the bits are those of the
// undisturbed run.
func TestWorkersDie(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes")
	}
	inFolder(t, tiny)
	want := trainTiny(t, "whole", "--nproc", "1")
	for _, c := range []struct {
		name   string
		nproc  string
		signal syscall.Signal
		worker int
		text   string
	}{
		{"first of two killed", "2", syscall.SIGKILL, 0, "eval "},
		{"second of two killed in a growth event", "2", syscall.SIGKILL, 1, "grow "},
		{"third of four killed", "4", syscall.SIGKILL, 2, "eval "},
		{"both killed", "2", syscall.SIGKILL, everyone, "eval "},
		{"one of one stopped", "2", syscall.SIGSTOP, 1, "eval "},
	} {
		t.Run(c.name, func(t *testing.T) {
			watch := &at{text: c.text, do: func() {
				for i, pid := range workers(t) {
					if i == c.worker || c.worker == everyone {
						syscall.Kill(pid, c.signal)
					}
				}
			}}
			dir := strings.ReplaceAll(c.name, " ", "-")
			args := []string{"train", "job.yaml", "--run-dir", dir, "--nproc", c.nproc, "--threads", "1"}
			if c.worker == everyone {
				args = append(args, "--set", "checkpoint.every=0", "--set", "checkpoint.memory=0.001")
			}
			code := execute(t.Context(), args, io.Discard, watch)
			if code != 0 || !strings.Contains(watch.all.String(), "worker died and is started anew") {
				t.Fatalf("exit status %d\n%s", code, watch.all.String())
			}
			if got := trainTiny(t, dir); got["digest"] != want["digest"] {
				t.Errorf("digest %v, want %v\n%s", got["digest"], want["digest"], watch.all.String())
			}
			if step := resumedAt(t, dir); step == 0 && c.worker == everyone {
				t.Errorf("nothing was left of the run when its workers died\n%s", watch.all.String())
			}
		})
	}
}
