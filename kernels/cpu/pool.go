package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pool is a fixed set of threads that run one job at a time together with the
// caller. Between jobs a thread spins for a while, then sleeps.
type pool struct {
	size int
	spin int
	mu   sync.Mutex // one job at a time

	f       func(thread int)
	job     atomic.Uint32 // number of the current job
	left    atomic.Int32  // threads still busy with it
	stop    atomic.Bool
	helpers []helper // threads 1..size-1
	waiting atomic.Bool
	done    chan struct{}
}

type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
	_      [40]byte // a cache line each
}

func newPool(size, spin int, cpus []int) *pool {
	p := &pool{size: size, spin: spin, helpers: make([]helper, size), done: make(chan struct{}, 1)}
	for i := 1; i < size; i++ {
		p.helpers[i].wake = make(chan struct{}, 1)
		cpu := -1
		if cpus != nil {
			cpu = cpus[i]
		}
		go p.help(i, cpu)
	}
	return p
}

// pin ties the calling goroutine to a thread and the thread to a processor.
// It is a hint: a refused request changes nothing but speed.
func pin(cpu int) {
	runtime.LockOSThread()
	if cpu < 0 {
		return
	}
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(0, &set)
}

func (p *pool) help(i, cpu int) {
	pin(cpu)
	h := &p.helpers[i]
	for seen := uint32(0); ; {
		p.awaitJob(h, seen)
		if p.stop.Load() {
			return
		}
		seen++
		p.f(i)
		if p.left.Add(-1) == 0 && p.waiting.CompareAndSwap(true, false) {
			p.done <- struct{}{}
		}
	}
}

func (p *pool) awaitJob(h *helper, seen uint32) {
	for n := 0; p.job.Load() == seen; n++ {
		if n < p.spin {
			pause()
			continue
		}
		h.asleep.Store(true)
		if p.job.Load() != seen && h.asleep.CompareAndSwap(true, false) {
			return
		}
		<-h.wake // whoever clears asleep sends
	}
}

// run calls f(0) here and f(1)…f(size-1) on the other threads, and returns
// when all have returned.
func (p *pool) run(f func(thread int)) {
	if p.size == 1 {
		f(0)
		return
	}
	p.f = f
	p.left.Store(int32(p.size - 1))
	p.announce()
	f(0)
	for n := 0; p.left.Load() != 0; n++ {
		if n < p.spin {
			pause()
			continue
		}
		p.waiting.Store(true)
		if p.left.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
			return
		}
		<-p.done
		return
	}
}

func (p *pool) announce() {
	p.job.Add(1)
	for i := 1; i < p.size; i++ {
		if h := &p.helpers[i]; h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

func (p *pool) close() {
	if p.size > 1 && !p.stop.Swap(true) {
		p.announce()
	}
}
