package step

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/launch/supervise"
)

// profileEnv names a file for a profile of the timed steps of rank 0.
const profileEnv = "ESPALIER_BENCH_PROFILE"

// Worker measures a case, given as JSON, as one worker of Run. Rank 0 prints
// the result.
func Worker(ctx context.Context, caseJSON string, out io.Writer) error {
	var c Case
	if err := json.Unmarshal([]byte(caseJSON), &c); err != nil {
		return fmt.Errorf("bench step: case %q: %w", caseJSON, err)
	}
	c, s, err := c.complete()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(c.Threads + 1) // one for the transport
	comm, err := supervise.Worker(shm.Options{})
	if err != nil {
		return err
	}
	defer comm.Close(ctx)
	dev, err := cpu.New(cpu.Options{Threads: c.Threads})
	if err != nil {
		return err
	}
	defer dev.Close()
	e, err := newEngine(ctx, dev, comm, s.spec, c.Batch)
	if err != nil {
		return err
	}
	defer e.close()

	r := Result{Peer: "espalier", Case: c, Params: e.graph.ParamCount(), ProgramMB: float64(e.prog.Bytes()) / 1e6}
	if err := r.measure(e); err != nil {
		return err
	}
	if r.PeakRSS, err = largest(ctx, comm, peakRSS()); err != nil {
		return err
	}
	if comm.Info().Rank > 0 {
		return nil
	}
	return json.NewEncoder(out).Encode(r)
}

// measure times the steps of one worker.
func (r *Result) measure(e *engine) error {
	now := wallClock
	r.Clock = "wall"
	if r.Threads == 1 && r.Workers == 1 {
		now, r.Clock = processorClock, "cpu"
	}
	r.StartMS = ms(sinceStart())
	from := wallClock()
	for i := range r.Warmup {
		if err := e.step(); err != nil {
			return err
		}
		if i == 0 {
			r.FirstStepMS = ms(wallClock() - from)
		}
	}
	runtime.GC()
	debug.SetGCPercent(-1)
	stop, err := profile(e.comm.Info().Rank)
	if err != nil {
		return err
	}
	defer stop()
	took := make([]float64, r.Steps)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range took {
		from := now()
		if err := e.step(); err != nil {
			return err
		}
		took[i] = ms(now() - from)
	}
	runtime.ReadMemStats(&after)
	r.AllocsPerStep = float64(after.Mallocs-before.Mallocs) / float64(r.Steps)
	r.StepMS = spread(took)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// profile writes a profile of the processor until stop, if one is asked for.
func profile(rank collective.Rank) (stop func(), err error) {
	path := os.Getenv(profileEnv)
	if path == "" || rank > 0 {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// largest is the maximum of v over all ranks.
func largest(ctx context.Context, comm collective.Comm, v float64) (float64, error) {
	all := []float64{v}
	err := comm.AllReduce(collective.Float64s(all), collective.Max, collective.OpMeta{Seq: 1 << 40}).Wait(ctx)
	return all[0], err
}
