package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// rank is one rank's part of a run: in this process alone, or in a worker.
type rank struct {
	cfg     trainer.Config // fitted to the data
	dir     string         // run folder
	comm    collective.Comm
	threads int
	crowded bool // more threads than processors on the machine
	show    func(metrics.Record)
	log     *zap.Logger
}

// train runs to the end, or until ctx ends, which is a request to stop: the
// state is then saved after the step in flight.
func (k *rank) train(ctx context.Context) (res trainer.Result, err error) {
	runtime.GOMAXPROCS(k.threads + 1) // one for loader and collective
	dev, err := cpu.New(k.device())
	if err != nil {
		return res, err
	}
	defer dev.Close()
	cfg := k.cfg
	cfg.Device, cfg.Comm, cfg.Threads, cfg.Log = dev, k.comm, k.threads, k.log
	cfg.Dir = filepath.Join(k.dir, checkpointFolder)
	if k.comm.Info().Rank == 0 {
		w, err := k.record(&cfg)
		if err != nil {
			return res, err
		}
		defer w.Close()
	}
	var release func() bool
	res, err = trainer.Train(context.WithoutCancel(ctx), cfg, func(r *trainer.Run) {
		release = context.AfterFunc(ctx, r.RequestStop)
	})
	if release != nil {
		release()
	}
	return res, err
}

// record makes cfg report to metrics.jsonl and to who is watching.
func (k *rank) record(cfg *trainer.Config) (*metrics.Writer, error) {
	w, err := metrics.Open(filepath.Join(k.dir, metrics.FileName))
	if err != nil {
		return nil, err
	}
	cfg.Report = func(r metrics.Record) {
		if err := w.Write(r); err != nil {
			k.log.Error("record lost", zap.Error(err))
		}
		k.show(r)
	}
	return w, nil
}

// device chooses threads and processors. A worker that is bound to as many
// processors as it has threads gets one thread on each; a process that has the
// whole machine is left to the system, which knows who else is there.
func (k *rank) device() cpu.Options {
	o := cpu.Options{Threads: k.threads}
	if k.crowded {
		o.Spin = -1
		return o
	}
	if mine := processors(); k.comm.Info().World > 1 && len(mine) == k.threads {
		o.CPUs = mine
	}
	return o
}

// processors lists the processors that this process may use.
func processors() (all []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for cpu := 0; len(all) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all
}

// features names the kernels' instruction set, for records.
func features() string {
	if cpu.HasAVX2() {
		return "avx2 fma"
	}
	return fmt.Sprintf("portable %s", runtime.GOARCH)
}
