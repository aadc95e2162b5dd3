package step

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func clock(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// wallClock is the time of the machine.
func wallClock() time.Duration { return clock(unix.CLOCK_MONOTONIC) }

// processorClock is the time that all threads of this process have computed.
func processorClock() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// sinceStart is the age of this process, to 10 ms.
func sinceStart() time.Duration {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	// Fields are counted behind the name, which may hold spaces: the start
	// is field 22 in ticks of 10 ms since the machine started.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return 0
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return clock(unix.CLOCK_BOOTTIME) - time.Duration(ticks)*10*time.Millisecond
}

// peakRSS is the largest memory that this process had so far, in MB.
func peakRSS() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %g kB", &kb); n == 1 {
			return kb * 1024 / 1e6
		}
	}
	return 0
}
