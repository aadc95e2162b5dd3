package shm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

func dup(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "group")
}

func TestJoinRefuses(t *testing.T) {
	h, err := shm.Create(2, collective.Gen{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	file := func(content []byte) *os.File {
		path := filepath.Join(t.TempDir(), "segment")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	good := make([]byte, 64<<10)
	if _, err := h.File().ReadAt(good, 0); err != nil {
		t.Fatal(err)
	}
	altered := func(at int, b byte) []byte {
		c := append([]byte(nil), good...)
		c[at] = b
		return c
	}
	tests := []struct {
		name string
		file *os.File
		rank collective.Rank
		want string
	}{
		{"empty file", file(nil), 0, "segment of 0 bytes, want at least"},
		{"other content", file(altered(0, 'x')), 0, "wrong magic"},
		{"other version", file(altered(8, 99)), 0, "different builds"},
		{"impossible world", file(altered(12, 200)), 0, "200 ranks, want 1 to 64"},
		{"cut after the control page", file(good), 0, "want at least"},
		{"rank of another world", dup(t, h.File()), 2, "rank 2 in a group of 2"},
		{"negative rank", dup(t, h.File()), -1, "rank -1"},
	}
	for _, tt := range tests {
		c, err := shm.Join(tt.file, tt.rank, shm.Options{})
		if err == nil {
			c.Close(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestOneRankIsOneProcess(t *testing.T) {
	h, err := shm.Create(2, collective.Gen{N: 7, Run: collective.RunID{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	first, err := shm.Join(dup(t, h.File()), 1, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(context.Background())
	if g := first.Info().Gen; g.N != 7 || g.Run != (collective.RunID{1}) {
		t.Errorf("generation %+v is not the host's", g)
	}
	if _, err := shm.Join(dup(t, h.File()), 1, shm.Options{}); err == nil || !strings.Contains(err.Error(), "joined already") {
		t.Errorf("second rank 1: %v", err)
	}
}

// The host speaks for ranks that cannot.
func TestHostEndsWaits(t *testing.T) {
	tests := []struct {
		name string
		act  func(h *shm.Host)
		want error
		by   collective.Rank
	}{
		{"abort", func(h *shm.Host) { h.Abort(1, "killed by signal 9") }, collective.ErrAborted, 1},
		{"abort by nobody", func(h *shm.Host) { h.Abort(collective.NoRank, "shutting down") }, collective.ErrAborted, collective.NoRank},
		{"exited", func(h *shm.Host) { h.Exited(1) }, collective.ErrClosed, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := shm.Create(2, collective.Gen{})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			c, err := shm.Join(dup(t, h.File()), 0, shm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(context.Background())
			w := c.Barrier(collective.OpMeta{})
			tt.act(h)
			err = w.Wait(context.Background())
			var abort *collective.AbortError
			if !errors.Is(err, tt.want) || !errors.As(err, &abort) || abort.By != tt.by {
				t.Errorf("error %v, want %v by %d", err, tt.want, tt.by)
			}
			if a := h.Aborted(); a == nil || a.By != tt.by {
				t.Errorf("host says %v, want by %d", a, tt.by)
			}
		})
	}
}

// Memory that the machine does not have is an error on all ranks.
func TestRegionTooLarge(t *testing.T) {
	comms, err := shm.NewGroup(1, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer comms[0].Close(context.Background())
	if _, err := comms[0].Alloc(context.Background(), 1<<50); err == nil {
		t.Error("allocated a pebibyte")
	}
	if err := comms[0].Barrier(collective.OpMeta{}).Wait(context.Background()); err != nil {
		t.Errorf("after a refused size: %v", err)
	}
}
