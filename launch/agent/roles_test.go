package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// The test binary is also the worker.
const (
	roleKey   = "AGENT_TEST_ROLE"
	finishKey = "AGENT_TEST_FINISH" // the run is complete when this file is there
	fifoKey   = "AGENT_TEST_FIFO"   // a named pipe that every worker holds open
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

func play(role string) int {
	switch role {
	case "agent":
		os.Setenv(roleKey, "toy")
		a, err := New(Config{Node: "a", Run: "orphans", Session: newLone(), Workers: 2})
		if err == nil {
			err = a.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	case "die":
		fmt.Fprintln(os.Stderr, "no memory left")
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	w, err := Attach(Options{Grace: 20 * time.Second, Timeout: 300 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	defer w.Close()
	if path := os.Getenv(fifoKey); path != "" {
		alive, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 9
		}
		defer alive.Close()
		fmt.Fprintln(alive, "alive")
	}
	t := &toy{w: w, fault: role, remembers: role == "remember"}
	if err = t.recall(); err == nil {
		err = t.train()
	}
	switch {
	case errors.Is(err, trainer.ErrLeft):
		w.End(false, nil, false)
		return 143
	case err != nil:
		w.End(false, err, role == "refuse")
		return 1
	}
	w.End(true, nil, false)
	return 0
}

// toy trains as trainer does: it adds a value for each of 12 shards in each
// step, over all ranks, until a file appears.
type toy struct {
	w       *Worker
	step    atomic.Int64
	sum     int64
	regroup atomic.Bool
	stop    atomic.Bool

	remembers bool   // after each step
	fault     string // of rank 1 in the first generation: "hang", "stray"
}

// recall takes the state that the node's memory holds.
func (t *toy) recall() error {
	b, err := t.w.Memory().Load()
	if b != nil {
		t.step.Store(int64(binary.LittleEndian.Uint64(b)))
		t.sum = int64(binary.LittleEndian.Uint64(b[8:]))
	}
	return err
}

// remember leaves the state there.
func (t *toy) remember() error {
	if !t.remembers || !t.w.First() {
		return nil
	}
	err := t.w.Memory().Keep(func(memory []byte) ([]byte, error) {
		b := binary.LittleEndian.AppendUint64(memory[:0], uint64(t.step.Load()))
		return binary.LittleEndian.AppendUint64(b, uint64(t.sum)), nil
	})
	if errors.Is(err, errBusy) { // one that has just been started is reading
		return nil
	}
	return err
}

func (t *toy) RequestRegroup() { t.regroup.Store(true) }
func (t *toy) Progress() trainer.Progress {
	return trainer.Progress{Step: uint64(t.step.Load())}
}

func (t *toy) RequestStop() { t.stop.Store(true) }

const shards = 12

// want is the sum after a number of steps.
func want(steps int64) (sum int64) {
	for s := range steps {
		for k := range int64(shards) {
			sum += s*s + k
		}
	}
	return sum
}

func (t *toy) train() error {
	comm, err := t.w.Form(context.Background(), nil)
	t.w.Started(t)
	for err == nil {
		var done bool
		done, err = t.generation(comm)
		comm.Close(context.Background())
		switch {
		case done:
			return nil
		case errors.Is(err, errStop):
			return trainer.ErrLeft
		case err == nil || errors.Is(err, collective.ErrAborted):
			comm, err = t.w.Form(context.Background(), err)
		}
	}
	return err
}

var errStop = errors.New("stop")

func (t *toy) generation(c collective.Comm) (done bool, err error) {
	if err := t.align(c); err != nil {
		return false, err
	}
	t.regroup.Store(false)
	info := c.Info()
	for {
		step := t.step.Load()
		word := make([]int64, 4) // the sum of the step, regroup, stop, finish
		for k := int64(info.Rank); k < shards; k += int64(info.World) {
			word[0] += step*step + k
		}
		word[1], word[2] = asked(t.regroup.Load()), asked(t.stop.Load())
		if info.Rank == 0 {
			_, err := os.Stat(os.Getenv(finishKey))
			word[3] = asked(err == nil)
		}
		if info.Rank == 1 && info.Gen.N == 1 && step == 5 {
			switch t.fault {
			case "hang":
				select {}
			case "stray":
				c.Barrier(collective.OpMeta{Seq: uint64(step), Bucket: 2})
			}
		}
		if err := c.AllReduce(collective.Int64s(word), collective.Sum, collective.OpMeta{Seq: uint64(step)}).Wait(context.Background()); err != nil {
			return false, err
		}
		t.sum += word[0]
		t.step.Store(step + 1)
		if err := t.remember(); err != nil {
			return false, err
		}
		t.w.Record(&metrics.Event{Step: step + 1, Event: "step", Text: fmt.Sprint(t.sum), Batch: info.World, Params: int64(os.Getpid())})
		switch {
		case word[3] > 0:
			return true, nil
		case word[2] > 0:
			return false, errStop
		case word[1] > 0:
			return false, nil
		}
		time.Sleep(time.Millisecond) // leaves the processors to others
	}
}

// align takes the state of the rank that is furthest.
func (t *toy) align(c collective.Comm) error {
	all := make([]int64, 2*c.Info().World)
	if err := c.AllGather(collective.Int64s([]int64{t.step.Load(), t.sum}), collective.Int64s(all), collective.OpMeta{}).Wait(context.Background()); err != nil {
		return err
	}
	for r := range c.Info().World {
		if all[2*r] > t.step.Load() {
			t.step.Store(all[2*r])
			t.sum = all[2*r+1]
		}
	}
	return nil
}

func asked(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
