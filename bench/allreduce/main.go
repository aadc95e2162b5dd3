package allreduce

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// ErrUsage says that a measurement cannot be made as asked for.
var ErrUsage = errors.New("bench allreduce")

// Main is the command `bench allreduce`. self are the arguments with which the
// same program reaches Main again.
func Main(ctx context.Context, self, args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench allreduce", flag.ContinueOnError)
	f.SetOutput(out)
	var (
		ranks   = f.String("ranks", "2,4", "numbers of ranks, comma separated")
		least   = f.String("min", "1K", "smallest size in bytes; K, M and G are powers of 1024")
		most    = f.String("max", "256M", "largest size")
		factor  = f.Int("factor", 4, "from one size to the next")
		turns   = f.Int("turns", 5, "turns of each contender at each size")
		batches = f.Int("batches", 3, "timed batches in a turn")
		only    = f.String("only", "", "contenders, comma separated; all that are installed if empty")
		page    = f.String("o", "", "also write a page of results, in Markdown")
		own     rank
	)
	f.StringVar(&own.role, "role", "", "be a rank of a contender; for this program's own use, like those that follow")
	f.IntVar(&own.rank, "rank", 0, "number of the rank")
	f.IntVar(&own.world, "world", 0, "number of ranks")
	f.StringVar(&own.socket, "socket", "", "where orders come from")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if own.role != "" {
		return own.serve(ctx)
	}
	p := Plan{Self: self, Turns: *turns, Batches: *batches}
	var err error
	if p.Sizes, err = sizes(*least, *most, *factor); err != nil {
		return err
	}
	if f.NArg() > 0 || *turns < 1 || *batches < 1 {
		return fmt.Errorf("%w: want flags only, one turn and one batch at least", ErrUsage)
	}
	if *only != "" {
		p.Only = strings.Split(*only, ",")
	}
	var tables []Table
	for text := range strings.SplitSeq(*ranks, ",") {
		world, err := strconv.Atoi(text)
		if err != nil || world < 1 || world > 64 {
			return fmt.Errorf("%w: --ranks %q: want numbers from 1 to 64", ErrUsage, *ranks)
		}
		t, err := p.Run(ctx, world, out)
		if err != nil {
			return err
		}
		tables = append(tables, t)
	}
	if *page == "" {
		return nil
	}
	return writePage(*page, tables, "espalier "+strings.Join(append(self, args...), " "))
}

func writePage(path string, tables []Table, command string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := Page(file, tables, command); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// sizes are those from least to most, in whole float32 elements.
func sizes(least, most string, factor int) ([]int, error) {
	lo, err1 := parseSize(least)
	hi, err2 := parseSize(most)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if lo < 256 || lo > hi || factor < 2 {
		return nil, fmt.Errorf("%w: sizes from %d to %d bytes by a factor of %d: want 256 bytes at least, and a factor of 2", ErrUsage, lo, hi, factor)
	}
	var all []int
	for n := lo; n <= hi; n *= factor {
		all = append(all, n&^255)
	}
	return all, nil
}

func parseSize(s string) (int, error) {
	digits, shift := s, 0
	if i := strings.IndexAny(s, "KMG"); i >= 0 && i == len(s)-1 {
		digits, shift = s[:i], map[byte]int{'K': 10, 'M': 20, 'G': 30}[s[i]]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > 64<<30>>shift {
		return 0, fmt.Errorf("size %q: want a number of bytes, at most 64G", s)
	}
	return n << shift, nil
}
