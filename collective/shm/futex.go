package shm

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/futex.h. Not the private forms: the sleepers are other processes.
const (
	futexWaitOp = 0
	futexWakeOp = 1
)

// futexWait sleeps while *a is v, at most for d. It may return early.
func futexWait(a *atomic.Uint32, v uint32, d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(a)), futexWaitOp, uintptr(v), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

func futexWakeAll(a *atomic.Uint32) {
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(a)), futexWakeOp, 1<<30, 0, 0, 0)
}
