package allreduce

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"time"
)

// The conversation with a rank of any contender, in lines over a unix socket.
// The rank speaks first, and then answers; it ends when the socket does.
//
//	rank:    hello RANK [ADDRESS]       where others reach it, if they have to
//	bench:   peers ADDRESS…             once all ranks have come
//	bench:   run BYTES OPERATIONS BATCHES
//	rank:    done WRONG ALLOCATIONS NANOSECONDS…   by operation, for each batch

// rank is a process that is one rank of a contender of ours.
type rank struct {
	role        string
	rank, world int
	socket      string
}

// role is what a rank does.
type role interface {
	// address is where other ranks reach it, empty if they need not.
	address() string
	// meet connects with the others.
	meet(ctx context.Context, peers []string) error
	// prepare provides for operations of a size, all zero.
	prepare(ctx context.Context, bytes int) error
	// memory is what an operation sums, nil if it sums nothing.
	memory() []float32
	// operate does one operation.
	operate() error
	// barrier waits for all ranks.
	barrier() error
	close()
}

// serve does what it is told until the socket ends.
func (k rank) serve(ctx context.Context) error {
	conn, err := net.Dial("unix", k.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	r, err := newRole(k)
	if err != nil {
		return err
	}
	defer r.close()
	fmt.Fprintln(conn, "hello", k.rank, r.address())
	lines := bufio.NewScanner(conn)
	size := 0
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if word == "peers" {
			if err := r.meet(ctx, strings.Fields(rest)); err != nil {
				return err
			}
			continue
		}
		var bytes, n, batches int
		if _, err := fmt.Sscan(rest, &bytes, &n, &batches); word != "run" || err != nil {
			return fmt.Errorf("bench allreduce: order %q is not understood", lines.Text())
		}
		if bytes != size {
			if err := r.prepare(ctx, bytes); err != nil {
				return err
			}
			size = bytes
		}
		if err := k.measure(conn, r, n, batches); err != nil {
			return err
		}
	}
	return lines.Err()
}

// measure checks one operation and times n of them, batch by batch.
func (k rank) measure(out io.Writer, r role, n, batches int) error {
	wrong, err := k.check(r)
	if err != nil {
		return err
	}
	took := make([]int64, batches)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b := range took {
		if err := r.barrier(); err != nil {
			return err
		}
		from := time.Now()
		for range n {
			if err := r.operate(); err != nil {
				return err
			}
		}
		took[b] = time.Since(from).Nanoseconds() / int64(n)
	}
	runtime.ReadMemStats(&after)
	text := fmt.Sprint("done ", wrong, " ", float64(after.Mallocs-before.Mallocs)/float64(n*batches))
	for _, t := range took {
		text += fmt.Sprint(" ", t)
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// check sums values whose sum is known and exact, and leaves zeros, which stay
// what they are however often they are added.
func (k rank) check(r role) (wrong int, err error) {
	data := r.memory()
	for i := range data {
		data[i] = float32(i%1024 + k.rank)
	}
	if err := r.barrier(); err != nil {
		return 0, err
	}
	if err := r.operate(); err != nil {
		return 0, err
	}
	for i, v := range data {
		if v != float32(k.world*(i%1024)+k.world*(k.world-1)/2) {
			wrong++
		}
	}
	if err := r.barrier(); err != nil { // others may still read this rank's memory
		return 0, err
	}
	clear(data)
	return wrong, nil
}
