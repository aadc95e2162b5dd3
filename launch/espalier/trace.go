package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/collective"
)

// traceFiles are those of a run folder's workers: one for each process.
const traceFiles = "trace-*.jsonl"

// span is one operation of one worker: a line of a trace file. Times are
// microseconds since 1970, on the clock of the machine.
type span struct {
	Op     string  `json:"op"`
	Seq    uint64  `json:"seq"`
	Bucket int32   `json:"bucket"`
	Bytes  int     `json:"bytes"`
	Start  float64 `json:"start"`
	Took   float64 `json:"took"`
	Err    string  `json:"err,omitempty"`
}

// tracer writes a worker's operations beside the work. What comes faster than
// it can be written is left out.
type tracer struct {
	events chan collective.Event
	done   chan error
}

func newTracer(dir string, worker int) (*tracer, error) {
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("trace-%d-%d.jsonl", worker, os.Getpid())))
	if err != nil {
		return nil, err
	}
	t := &tracer{make(chan collective.Event, 1<<14), make(chan error, 1)}
	go func() {
		w := bufio.NewWriter(f)
		out := json.NewEncoder(w)
		var errs []error
		for e := range t.events {
			s := span{Op: e.Kind.String(), Seq: e.Meta.Seq, Bucket: e.Meta.Bucket, Bytes: e.Bytes,
				Start: float64(e.Start.UnixNano()) / 1e3, Took: float64(e.End.Sub(e.Start).Nanoseconds()) / 1e3}
			if e.Err != nil {
				s.Err = e.Err.Error()
			}
			errs = append(errs, out.Encode(s))
		}
		t.done <- errors.Join(errors.Join(errs...), w.Flush(), f.Close())
	}()
	return t, nil
}

// observe is for collective's transports.
func (t *tracer) observe(e collective.Event) {
	select {
	case t.events <- e:
	default:
	}
}

func (t *tracer) close() error {
	close(t.events)
	return <-t.done
}

// traceEvent is an event in the format of Chrome's tracing, which Perfetto
// opens.
type traceEvent struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"`
	Time  float64        `json:"ts"`
	Took  float64        `json:"dur,omitempty"`
	Pid   int            `json:"pid"`
	Tid   int            `json:"tid"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

func (a *app) traceCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "trace RUN_DIR...",
		Short: "Merge the traces of all workers into one for ui.perfetto.dev",
		Long: `Trace merges what the workers of runs with run.trace have written: every
operation of every worker, and every formation. Name the run folders of all
nodes; their clocks are taken to agree.` + "\n" + exitHelp,
		Example: "  espalier train digits --nproc 2 --set run.trace=true\n  espalier trace runs/digits -o trace.json",
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().StringVarP(&out, "output", "o", "trace.json", "`FILE` to write")
	c.RunE = func(_ *cobra.Command, dirs []string) error {
		var all []traceEvent
		for node, dir := range dirs {
			events, err := traceOf(dir, node+1)
			if err != nil {
				return err
			}
			all = append(all, events...)
		}
		b, err := json.Marshal(map[string]any{"traceEvents": all, "displayTimeUnit": "ms"})
		if err != nil {
			return err
		}
		if err := replaceFile(out, b); err != nil {
			return err
		}
		fmt.Fprintf(a.out(), "%d events in %s; open it at ui.perfetto.dev\n", len(all), out)
		a.result = map[string]any{"events": len(all), "file": out}
		return nil
	}
	return c
}

// traceOf reads the traces of a node.
func traceOf(dir string, node int) (all []traceEvent, err error) {
	files, err := filepath.Glob(filepath.Join(dir, traceFiles))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, usage("%s has no traces: train it with several workers and --set run.trace=true", dir)
	}
	all = append(all, traceEvent{Name: "process_name", Phase: "M", Pid: node, Args: map[string]any{"name": dir}})
	for i, path := range files {
		all = append(all, traceEvent{Name: "thread_name", Phase: "M", Pid: node, Tid: i + 1, Args: map[string]any{"name": filepath.Base(path)}})
		err := eachLine(path, func(s span) {
			e := traceEvent{Name: s.Op, Phase: "X", Time: s.Start, Took: s.Took, Pid: node, Tid: i + 1,
				Args: map[string]any{"step": s.Seq, "bucket": s.Bucket, "bytes": s.Bytes}}
			if s.Err != "" {
				e.Args["error"] = s.Err
			}
			all = append(all, e)
		})
		if err != nil {
			return nil, err
		}
	}
	err = eachLine(filepath.Join(dir, reformFile), func(r reform) {
		all = append(all, traceEvent{Name: fmt.Sprintf("generation %d: world %d", r.N, r.World), Phase: "i", Scope: "p", Pid: node,
			Time: float64(r.At.UnixNano()) / 1e3, Args: map[string]any{"cause": r.Cause, "opened_ms": r.Opened}})
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return all, err
}

// eachLine decodes the lines of a file. A last one that was cut off by the end
// of its writer is left out.
func eachLine[T any](path string, f func(T)) error {
	b, err := os.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	lines := bufio.NewScanner(b)
	var bad error
	for n := 1; lines.Scan(); n++ {
		if bad != nil {
			return bad
		}
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			bad = fmt.Errorf("%s:%d: %w", path, n, err)
			continue
		}
		f(v)
	}
	return lines.Err()
}
