package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/launch/report"
)

// findings is what doctor finds, and its JSON object.
type findings struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Kernel  string `json:"kernel,omitempty"`

	CPU        string   `json:"cpu"`
	Features   []string `json:"features"` // of those that kernels use or may use
	Kernels    string   `json:"kernels"`  // which are chosen
	Processors int      `json:"processors"`
	// SharedCores: some of the processors are threads of one core.
	SharedCores bool    `json:"shared_cores"`
	Peak1       float64 `json:"fma_peak_1_gflops"` // one thread
	PeakN       float64 `json:"fma_peak_n_gflops"` // a thread on every processor, together
	Bandwidth   float64 `json:"bandwidth_gbytes"`

	MemoryTotal     uint64 `json:"memory_total"`
	MemoryAvailable uint64 `json:"memory_available"`
	ShmFree         uint64 `json:"dev_shm_free"`
	DiskFree        uint64 `json:"disk_free"`
	// SyncMS is how long the disk takes to make 1 MiB durable.
	SyncMS float64 `json:"disk_sync_ms"`

	Data   []dataSet `json:"data"`
	Advice []string  `json:"advice"` // what could be better, and how
}

func (a *app) doctorCommand() *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine offers: processors, kernels, memory, disk, data",
		Long:  "Doctor measures and lists what a run would find on this machine. It takes about\na second." + "\n" + exitHelp,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f := examine(dataDir)
			f.print(a)
			a.result = f
			return nil
		},
	}
	c.Flags().StringVar(&dataDir, "data", "", "folder `DIR` of data sets")
	return c
}

func examine(dataDir string) *findings {
	e := report.CurrentEnvironment(features())
	f := &findings{Version: e.Version, Go: e.Go, OS: e.OS, Arch: e.Arch, CPU: e.CPU, Kernel: kernelRelease(),
		Features: cpuFeatures(), Kernels: features(), Processors: runtime.NumCPU(), SharedCores: sharedCores(), Data: dataSets(dataDir), Advice: []string{}}
	f.Peak1, f.PeakN = cpu.FMAPeak(1), cpu.FMAPeak(f.Processors)
	f.Bandwidth = cpu.Bandwidth(f.Processors)
	f.MemoryTotal, f.MemoryAvailable = memory()
	f.ShmFree, f.DiskFree = free("/dev/shm"), free(".")
	f.SyncMS = syncTime()
	f.advise()
	return f
}

func (f *findings) advise() {
	add := func(when bool, format string, args ...any) {
		if when {
			f.Advice = append(f.Advice, fmt.Sprintf(format, args...))
		}
	}
	add(!cpu.HasAVX2(), "no AVX2 and FMA: the portable kernels are used, which are many times slower")
	add(f.SharedCores, "processors share cores: the peak of all threads is less than that of as many cores")
	add(f.Processors > 1 && !f.SharedCores && f.PeakN > 0 && f.PeakN < 0.75*float64(f.Processors)*f.Peak1,
		"%d threads reach %.0f %% of %d times one thread: the processors share cores, or others use the machine now", f.Processors, 100*f.PeakN/f.Peak1/float64(f.Processors), f.Processors)
	add(f.MemoryAvailable > 0 && f.MemoryAvailable < 1<<30, "less than 1 GiB of memory is available")
	add(f.DiskFree > 0 && f.DiskFree < 1<<30, "less than 1 GiB of disk is free here")
	add(f.SyncMS > 500, "the disk takes %.0f ms to make 1 MiB durable: checkpoints will lag behind", f.SyncMS)
}

func (f *findings) print(a *app) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.out(), "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("espalier", "%s, %s, %s/%s, kernel %s", f.Version, f.Go, f.OS, f.Arch, f.Kernel)
	line("processor", "%s, %d processors, %s", f.CPU, f.Processors, strings.Join(f.Features, " "))
	line("kernels", "%s", f.Kernels)
	line("FMA peak", "%.0f GFLOP/s with 1 thread, %.0f with %d", f.Peak1, f.PeakN, f.Processors)
	line("memory", "%s, %s available, %.0f GB/s", bytesText(f.MemoryTotal), bytesText(f.MemoryAvailable), f.Bandwidth)
	line("/dev/shm", "%s free (not needed: workers share anonymous memory)", bytesText(f.ShmFree))
	line("disk", "%s free here, 1 MiB durable in %.1f ms", bytesText(f.DiskFree), f.SyncMS)
	for i, s := range f.Data {
		name := ""
		if i == 0 {
			name = "data"
		}
		where := s.Folder
		if s.Embedded {
			where = "part of the binary"
		} else if !s.Found {
			where = "missing"
		}
		line(name, "%-17s %s", s.Name, where)
	}
	for _, s := range f.Advice {
		line("advice", "%s", s)
	}
}

func bytesText(n uint64) string {
	switch {
	case n == 0:
		return "unknown"
	case n < 1<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// procField is the rest of the first line of a file of /proc that begins with
// name and a colon.
func procField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func cpuFeatures() []string {
	have := strings.Fields(procField("/proc/cpuinfo", "flags"))
	found := []string{}
	for _, f := range []string{"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile"} {
		if slices.Contains(have, f) {
			found = append(found, f)
		}
	}
	return found
}

// sharedCores reports whether two of the processors this process may use are
// threads of one core.
func sharedCores() bool {
	seen := map[string]bool{}
	for _, p := range processors() {
		b, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", p))
		if err != nil {
			return false
		}
		core := strings.TrimSpace(string(b))
		if seen[core] {
			return true
		}
		seen[core] = true
	}
	return false
}

func memory() (total, available uint64) {
	kb := func(name string) uint64 {
		n, _ := strconv.ParseUint(strings.TrimSuffix(procField("/proc/meminfo", name), " kB"), 10, 64)
		return n << 10
	}
	return kb("MemTotal"), kb("MemAvailable")
}

// free is the space that is free in the file system of path, 0 if unknown.
func free(path string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// syncTime measures how long 1 MiB takes to be durable in this folder.
func syncTime() float64 {
	f, err := os.CreateTemp(".", ".espalier-doctor-*")
	if err != nil {
		return 0
	}
	defer os.Remove(filepath.Clean(f.Name()))
	defer f.Close()
	began := time.Now()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return 0
	}
	if f.Sync() != nil {
		return 0
	}
	return time.Since(began).Seconds() * 1e3
}
