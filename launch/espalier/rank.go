package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
)

// rank is one rank's part of a run: in this process alone, or in a worker.
type rank struct {
	cfg     trainer.Config // fitted to the data; Group and Report are set
	dir     string         // run folder
	threads int
	crowded bool // more threads than processors on the machine
	shared  bool // with other workers
	log     *zap.Logger
}

// train runs to the end, or until somebody asks the Run to stop. started
// receives it.
func (k *rank) train(ctx context.Context, started func(*trainer.Run)) (res trainer.Result, err error) {
	runtime.GOMAXPROCS(k.threads + 1) // one for loader and collective
	dev, err := cpu.New(k.device())
	if err != nil {
		return res, err
	}
	defer dev.Close()
	cfg := k.cfg
	cfg.Device, cfg.Threads, cfg.Log = dev, k.threads, k.log
	cfg.Dir = filepath.Join(k.dir, checkpointFolder)
	return trainer.Train(context.WithoutCancel(ctx), cfg, started)
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
	if mine := processors(); k.shared && len(mine) == k.threads {
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
