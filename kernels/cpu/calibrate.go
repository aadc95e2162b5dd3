package cpu

import (
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FMAPeak measures what the processor can do: the GFLOP/s of twelve
// independent chains of eight-lane multiply-adds on each of `threads` threads
// at the same time, best of a few rounds of some milliseconds. Figures of
// kernels mean something only beside it, because virtual processors share
// cores and clocks vary. It is 0 where the processor has no AVX2.
func FMAPeak(threads int) float64 {
	const n = 1 << 17 // about 0.25 ms
	if !HasAVX2() {
		return 0
	}
	took := together(threads, 8, func(int) {
		for range 8 {
			fmaChains(n)
		}
	})
	return float64(threads) * 8 * n * 12 * 16 / float64(took.Nanoseconds())
}

// Bandwidth measures the memory: the GB/s of a = b + 3·c (three accesses of
// four bytes an element) with arrays of 32 MB on each thread, best of a few
// rounds. It is 0 where the processor has no AVX2.
func Bandwidth(threads int) float64 {
	const n = 8 << 20
	if !HasAVX2() {
		return 0
	}
	b, err := unix.Mmap(-1, 0, threads*3*n*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0
	}
	defer unix.Munmap(b)
	f := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), threads*3*n)
	for i := range f { // pages that were never written all share one of zeros
		f[i] = 1
	}
	took := together(threads, 5, func(i int) {
		x := f[i*3*n:][:3*n]
		triadLoop(&x[0], &x[n], &x[2*n], n)
	})
	return float64(threads) * 12 * n / float64(took.Nanoseconds())
}

// together runs f on several threads at once and returns the time of the
// fastest round, after one that does not count.
func together(threads, rounds int, f func(thread int)) time.Duration {
	best := time.Duration(1<<63 - 1)
	for round := range rounds + 1 {
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		for i := range threads {
			ready.Add(1)
			done.Go(func() {
				runtime.LockOSThread()
				ready.Done()
				<-start
				f(i)
			})
		}
		ready.Wait()
		from := time.Now()
		close(start)
		done.Wait()
		if took := time.Since(from); round > 0 {
			best = min(best, took)
		}
	}
	return best
}
