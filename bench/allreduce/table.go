package allreduce

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// algbw is bytes of the buffer a second, busbw what a link would carry at
// least, both in GB/s.
func algbw(bytes int, t time.Duration) float64 { return float64(bytes) / float64(t) }

func busbw(world, bytes int, t time.Duration) float64 {
	return algbw(bytes, t) * 2 * float64(world-1) / float64(world)
}

// traffic is what all ranks read and write in an operation: a direct
// all-reduce reads each rank's memory once and writes it once; an addition
// reads both halves and writes one.
func traffic(name string, world, bytes int) int {
	if name == "x += y" {
		return world * bytes / 2 * 3
	}
	return world * bytes * 2
}

func head(out io.Writer, world int, skipped []string) {
	fmt.Fprintf(out, "# %d ranks, float32, sum, in place, out of %d processors\n", world, runtime.NumCPU())
	for _, s := range skipped {
		fmt.Fprintf(out, "# skipped %s\n", s)
	}
	fmt.Fprintf(out, "#%11s %12s %8s %6s  %-10s %11s %11s %11s %8s %8s %7s %7s\n", "size", "count", "type", "redop", "contender", "min", "median", "max", "algbw", "busbw", "#wrong", "allocs")
	fmt.Fprintf(out, "#%11s %12s %8s %6s  %-10s %11s %11s %11s %8s %8s %7s %7s\n", "(B)", "(elements)", "", "", "", "(us)", "(us)", "(us)", "(GB/s)", "(GB/s)", "", "(/op)")
}

func us(t time.Duration) float64 { return float64(t) / 1e3 }

func line(name string, world int, r Row) string {
	return fmt.Sprintf("%12d %12d %8s %6s  %-10s %11.2f %11.2f %11.2f %8.2f %8.2f %7d %7.2f", r.Bytes, r.Bytes/4, "float", "sum", name,
		us(r.Min), us(r.Median), us(r.Max), algbw(r.Bytes, r.Median), busbw(world, r.Bytes, r.Median), r.Wrong, r.Allocs)
}

// Page writes the tables in Markdown.
func Page(out io.Writer, tables []Table, command string) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "# All-reduce on one machine\n\n%s, %s, %d processors (%s/%s), %s.\n\n    %s\n\n",
		time.Now().Format(time.DateOnly), processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), command)
	fmt.Fprintf(w, "Medians in microseconds [fastest..slowest batch]; contenders by turns at each size; package bench/allreduce says\nhow. Ratios: the other's time over ours. shm traffic / x += y: bytes read and written a second, both with all ranks\nat work. Every sum was checked on every rank.\n")
	for _, t := range tables {
		t.page(w)
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func (t Table) page(w io.Writer) {
	fmt.Fprintf(w, "\n## %d ranks\n\n", t.World)
	for _, s := range t.Skipped {
		fmt.Fprintf(w, "Skipped %s.\n", s)
	}
	t.compare(w, "shm", []string{"mpi shm", "gloo"}, "x += y")
	t.compare(w, "tcp", []string{"mpi tcp", "gloo"}, "ring copy")
	fmt.Fprintf(w, "\nWrong sums: %d. Allocations an operation, at most: shm %.2f, tcp %.2f.\n", t.wrong(), t.allocs("shm"), t.allocs("tcp"))
}

// compare sets a contender beside others and its limit.
func (t Table) compare(w io.Writer, name string, others []string, limit string) {
	rows := t.Rows[name]
	if rows == nil {
		return
	}
	fmt.Fprintf(w, "\n| bytes | %s us | busbw GB/s ", name)
	for _, o := range others {
		fmt.Fprintf(w, "| %s us | ratio ", o)
	}
	fmt.Fprintf(w, "| %s us | share of it |\n|%s\n", limit, strings.Repeat(" --- |", 5+2*len(others)))
	for i, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %.2f ", size(r.Bytes), spread(r), busbw(t.World, r.Bytes, r.Median))
		for _, o := range others {
			if all := t.Rows[o]; all != nil {
				fmt.Fprintf(w, "| %s | **%.2f** ", spread(all[i]), float64(all[i].Median)/float64(r.Median))
			} else {
				fmt.Fprint(w, "| - | - ")
			}
		}
		if all := t.Rows[limit]; all != nil {
			share := float64(all[i].Median) / float64(r.Median) * float64(traffic(name, t.World, r.Bytes)) / float64(traffic(limit, t.World, r.Bytes))
			fmt.Fprintf(w, "| %s | %.2f |\n", spread(all[i]), share)
		} else {
			fmt.Fprint(w, "| - | - |\n")
		}
	}
}

func spread(r Row) string {
	return fmt.Sprintf("%s [%s..%s]", short(r.Median), short(r.Min), short(r.Max))
}

// short is microseconds with three digits.
func short(t time.Duration) string {
	switch u := us(t); {
	case u < 10:
		return fmt.Sprintf("%.2f", u)
	case u < 100:
		return fmt.Sprintf("%.1f", u)
	default:
		return fmt.Sprintf("%.0f", u)
	}
}

func size(bytes int) string {
	for _, unit := range []struct {
		n    int
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if bytes >= unit.n && bytes%unit.n == 0 {
			return fmt.Sprint(bytes/unit.n, unit.name)
		}
	}
	return fmt.Sprint(bytes)
}

func (t Table) wrong() (n int) {
	for _, rows := range t.Rows {
		for _, r := range rows {
			n += r.Wrong
		}
	}
	return n
}

func (t Table) allocs(name string) (n float64) {
	for _, r := range t.Rows[name] {
		n = max(n, r.Allocs)
	}
	return n
}

// processor is its name, where the system tells.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
