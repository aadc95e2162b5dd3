package checkpoint_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/checkpoint/checkpointtest"
)

func newSaver(t *testing.T, cfg SaverConfig) *Saver {
	t.Helper()
	s, err := NewSaver(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// gate is a disk that stands still from the beginning of a draft on, until it
// is opened.
type gate struct {
	arrived chan struct{} // gets a value when a draft is begun
	opened  chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) open() { close(g.opened) }

func (g *gate) before(op checkpointtest.Op) error {
	if op.Kind == "mkdir" && strings.Contains(op.Path, "tmp") {
		g.arrived <- struct{}{}
		<-g.opened
	}
	return nil
}

func TestSaverSaves(t *testing.T) {
	store, _ := memory()
	var reports []*Report
	s := newSaver(t, SaverConfig{Store: store, Keep: 2, Done: func(r *Report) { reports = append(reports, r) }})
	for step := uint64(1); step <= 5; step++ {
		if err := s.Begin(stateAt(step)); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, store); got != "step-00000004 step-00000005" {
		t.Errorf("kept %s", got)
	}
	st, _, _, err := store.LoadLatest()
	if err != nil || !reflect.DeepEqual(st, stateAt(5)) {
		t.Errorf("loaded %+v, %v", st, err)
	}
	if stats := s.Stats(); stats.Saved != 5 || stats.Failed+stats.Superseded != 0 {
		t.Errorf("stats %+v", stats)
	}
	for i, r := range reports {
		want := place(store, uint64(i+1))
		if r.Step != uint64(i+1) || r.Path != want || r.Bytes != 65 || r.Err != nil {
			t.Errorf("report %+v, want step %d, %s, 65 bytes", r, i+1, want)
		}
	}
	if len(reports) != 5 {
		t.Errorf("%d reports", len(reports))
	}
}

func place(s Store, step uint64) string {
	return filepath.Join(s.Dir, "step-0000000"+string(rune('0'+step)))
}

// Begin copies: what training does to its memory afterwards isn't saved.
func TestSaverCopies(t *testing.T) {
	store, mem := memory()
	g := newGate()
	store.FS = &checkpointtest.Faulty{FS: mem, Before: g.before}
	s := newSaver(t, SaverConfig{Store: store})
	st := stateAt(1)
	if err := s.Begin(st); err != nil {
		t.Fatal(err)
	}
	for _, x := range st.Tensors {
		clear(x.Data)
		clear(x.Shape)
	}
	clear(st.Meta.Plan)
	clear(st.Meta.Methods["grow"])
	clear(st.Meta.Parts)
	g.open()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, _, err := store.LoadLatest()
	if err != nil || !reflect.DeepEqual(got, stateAt(1)) {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

func TestSaverFillsBuffers(t *testing.T) {
	store, _ := memory()
	s := newSaver(t, SaverConfig{Store: store})
	for _, n := range []int{3, 100, 7} { // a network that grows, and is thinned out
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) / 3
		}
		st := State{Meta: Meta{Step: uint64(n)}, Tensors: []Tensor{{Name: "w", DType: F32, Shape: []int{n}}, {Name: "n", DType: U8, Shape: []int{1}}}}
		err := s.BeginFunc(st, func(i int, dst []byte) {
			if i == 0 {
				PutFloat32s(dst, values)
			} else {
				dst[0] = byte(n)
			}
		})
		if err = errors.Join(err, s.Wait(context.Background())); err != nil {
			t.Fatal(err)
		}
		got, err := store.Load(filepath.Join(store.Dir, "step-00000"+string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})))
		want := []Tensor{Float32s("w", []int{n}, values), {Name: "n", DType: U8, Shape: []int{1}, Data: []byte{byte(n)}}}
		if err != nil || !reflect.DeepEqual(got.Tensors, want) {
			t.Errorf("%d values: %v, %v", n, got.Tensors, err)
		}
	}
}

// A disk slower than the interval: training goes on, and of the states that
// wait the newest is written.
func TestSaverGivesUpTheOlderOne(t *testing.T) {
	store, mem := memory()
	g := newGate()
	store.FS = &checkpointtest.Faulty{FS: mem, Before: g.before}
	s := newSaver(t, SaverConfig{Store: store})
	for step := uint64(1); step <= 5; step++ {
		if err := s.Begin(stateAt(step)); err != nil { // returns though the disk stands still
			t.Fatal(err)
		}
		if step == 1 {
			<-g.arrived
		}
	}
	g.open()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if stats := s.Stats(); stats.Saved != 2 || stats.Superseded != 3 {
		t.Errorf("stats %+v, want steps 1 and 5 saved, the rest superseded", stats)
	}
	path, _, err := store.Latest()
	if err != nil || path != place(store, 5) {
		t.Errorf("latest %s %v, want step 5", path, err)
	}
}

func TestSaverGoesOnBehindAFullDisk(t *testing.T) {
	store, mem := memory()
	var mu sync.Mutex
	full := true
	store.FS = &checkpointtest.Faulty{FS: mem, Before: func(op checkpointtest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if full && op.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	}}
	failed := make(chan *Report, 10)
	s := newSaver(t, SaverConfig{Store: store, Done: func(r *Report) { failed <- r }})
	if err := s.Begin(stateAt(1)); err != nil {
		t.Fatal(err)
	}
	if r := <-failed; r.Path != "" || !errors.Is(r.Err, syscall.ENOSPC) {
		t.Errorf("report %+v", r)
	}
	if err := s.Wait(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wait behind a failed save: %v, want its error", err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if err := s.Begin(stateAt(2)); err != nil {
		t.Errorf("begin after a failed save: %v", err)
	}
	if err := s.Close(); err != nil { // step 2 makes it good
		t.Errorf("close: %v", err)
	}
	if path, _, err := store.Latest(); err != nil || path != place(store, 2) {
		t.Errorf("latest %s %v, want step 2", path, err)
	}
	if stats := s.Stats(); stats.Saved != 1 || stats.Failed != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func TestSaverClosesWithItsError(t *testing.T) {
	store, mem := memory()
	store.FS = &checkpointtest.Faulty{FS: mem, Before: checkpointtest.FailAt(5, syscall.EIO)}
	s := newSaver(t, SaverConfig{Store: store})
	if err := s.Begin(stateAt(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v, want EIO", err)
	}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("second close: %v, want EIO", err)
	}
	if err := s.Begin(stateAt(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("begin after close: %v", err)
	}
}

func TestSaverRefuses(t *testing.T) {
	store, _ := memory()
	s := newSaver(t, SaverConfig{Store: store})
	bad := stateAt(1)
	bad.Tensors[0].Data = nil
	if err := s.Begin(bad); !errors.Is(err, ErrSnapshot) || !errors.Is(err, ErrLength) {
		t.Errorf("wrong length: %v", err)
	}
	bad = stateAt(1)
	bad.Meta.Plan = []byte("{")
	if err := s.Begin(bad); !errors.Is(err, ErrSnapshot) {
		t.Errorf("bad plan: %v", err)
	}
	huge := State{Tensors: []Tensor{{Name: "a", DType: U8, Shape: []int{1 << 62}}, {Name: "b", DType: U8, Shape: []int{1 << 62}}}}
	if err := s.BeginFunc(huge, func(int, []byte) {}); !errors.Is(err, ErrSnapshot) {
		t.Errorf("more than there is memory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, cfg := range []SaverConfig{{}, {Store: store, Keep: -1}} {
		if _, err := NewSaver(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestSaverWaitEndsWithContext(t *testing.T) {
	store, mem := memory()
	g := newGate()
	store.FS = &checkpointtest.Faulty{FS: mem, Before: g.before}
	s := newSaver(t, SaverConfig{Store: store})
	if err := s.Begin(stateAt(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	g.open()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A steady state is copied into memory that is there already.
func TestSaverReusesMemory(t *testing.T) {
	store, _ := memory()
	s := newSaver(t, SaverConfig{Store: store, Keep: 1})
	values := make([]float32, 1<<20)
	st := State{Tensors: []Tensor{{Name: "w", DType: F32, Shape: []int{len(values)}}}}
	seen := map[*byte]bool{}
	for range 4 {
		st.Meta.Step++
		err := s.BeginFunc(st, func(_ int, dst []byte) {
			seen[&dst[0]] = true
			PutFloat32s(dst, values)
		})
		if err := errors.Join(err, s.Wait(context.Background())); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d buffers for saves that never overlap", len(seen))
	}
}
