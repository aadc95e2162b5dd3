package checkpoint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"syscall"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/checkpoint/checkpointtest"
)

// history saves steps 1 to 4 into two files each, keeping two, and returns
// the last step whose Save returned without error, and the errors.
func history(s Store) (durable uint64, err error) {
	for step := uint64(1); step <= 4; step++ {
		_, saveErr := s.Save(stateAt(step))
		if saveErr == nil {
			durable = step
		}
		err = errors.Join(err, saveErr, s.Prune(2))
	}
	return durable, err
}

// operations is how many operations an undisturbed history has.
func operations(t *testing.T) int {
	t.Helper()
	s, mem := memory()
	faulty := &checkpointtest.Faulty{FS: mem}
	s.FS, s.Files = faulty, 2
	if durable, err := history(s); err != nil || durable != 4 {
		t.Fatal(durable, err)
	}
	if faulty.Ops() < 100 {
		t.Fatalf("%d operations: does the fault hook see them all?", faulty.Ops())
	}
	return faulty.Ops()
}

// checkLatest verifies that s holds a whole checkpoint not older than
// durable, or none if that is 0, and nothing torn that looks like one.
func checkLatest(s Store, durable uint64) error {
	list, err := s.FS.Names(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range list {
		if err := s.Verify(s.Dir + "/" + name); err != nil && !strings.Contains(name, "tmp") {
			return fmt.Errorf("torn: %w", err)
		}
	}
	st, path, skipped, err := s.LoadLatest()
	switch {
	case len(skipped) > 0:
		return errors.Join(skipped...)
	case errors.Is(err, ErrNone) && durable == 0:
		return nil
	case err != nil:
		return err
	case st.Meta.Step < durable || st.Meta.Step > durable+1:
		return fmt.Errorf("latest is %s, want step %d or the one after it", path, durable)
	case !reflect.DeepEqual(st, stateAt(st.Meta.Step)):
		return fmt.Errorf("%s isn't the state that was saved: %+v", path, st)
	}
	return nil
}

// After a crash before any operation, in any state in which the disk may be
// left, the newest checkpoint is the last one saved or the one being saved,
// whole; and saving goes on.
func TestCrashAtEveryOperation(t *testing.T) {
	for n := range operations(t) + 1 {
		s, mem := memory()
		if err := mem.SyncDir("/"); err != nil { // the run's folder is older than the crash
			t.Fatal(err)
		}
		s.FS, s.Files = &checkpointtest.Faulty{FS: mem, Before: checkpointtest.CrashAt(n)}, 2
		durable, _ := history(s)
		for _, variant := range []uint64{0, 1, uint64(4*n + 2), uint64(4*n + 3), uint64(4*n + 4), uint64(4*n + 5)} {
			after := s
			after.FS = mem.Crash(variant)
			if err := checkLatest(after, durable); err != nil {
				t.Fatalf("crash before operation %d, variant %d: %v", n, variant, err)
			}
			if _, err := after.Save(stateAt(9)); err != nil {
				t.Fatalf("crash before operation %d, variant %d: next save: %v", n, variant, err)
			}
			st, _, _, err := after.LoadLatest()
			if err != nil || st.Meta.Step != 9 || strings.Contains(names(t, after), "tmp") {
				t.Fatalf("crash before operation %d, variant %d: after the next save: step %d, %v, %s", n, variant, st.Meta.Step, err, names(t, after))
			}
		}
	}
}

// A full disk or any other failing operation: the save says so, or was not
// hurt; the newest checkpoint is whole; the next save succeeds.
func TestFailureOfEveryOperation(t *testing.T) {
	for n := range operations(t) {
		s, mem := memory()
		s.FS, s.Files = &checkpointtest.Faulty{FS: mem, Before: checkpointtest.FailAt(n, syscall.ENOSPC)}, 2
		durable, err := history(s)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d failed and nobody said so: %v", n, err)
		}
		s.FS = mem
		if err := checkLatest(s, durable); err != nil {
			t.Fatalf("failure of operation %d: %v", n, err)
		}
		if _, err := s.Save(stateAt(9)); err != nil {
			t.Fatalf("failure of operation %d: next save: %v", n, err)
		}
		if got := names(t, s); strings.Contains(got, "tmp") {
			t.Fatalf("failure of operation %d: left %s", n, got)
		}
	}
}

// The disk fills up for good: what was begun is removed, so that the space it
// took is free again.
func TestDiskFull(t *testing.T) {
	s, mem := memory()
	save(t, s, 1)
	s.FS = &checkpointtest.Faulty{FS: mem, Before: func(op checkpointtest.Op) error {
		if op.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	}}
	_, err := s.Save(stateAt(2))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "state-00000-of-00001.safetensors") {
		t.Errorf("%v, want ENOSPC with the file's name", err)
	}
	if got := names(t, s); got != "step-00000001" {
		t.Errorf("left %s", got)
	}
}

func TestExportIsAtomic(t *testing.T) {
	exportTo := func(fsys FS, v float32) error {
		return ExportTo(fsys, "/run/model", []Tensor{Float32s("w", []int{1}, []float32{v})}, nil)
	}
	value := func(m *checkpointtest.Memory) float32 {
		b, err := m.Bytes("/run/model")
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := read(b)
		if err != nil {
			t.Fatal(err)
		}
		var v [1]float32
		if err := list[0].CopyFloat32s(v[:]); err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	for n := 0; ; n++ {
		_, mem := memory()
		if err := errors.Join(mem.SyncDir("/"), exportTo(mem, 1)); err != nil {
			t.Fatal(err)
		}
		faulty := &checkpointtest.Faulty{FS: mem, Before: checkpointtest.CrashAt(n)}
		err := exportTo(faulty, 2)
		for variant := range uint64(12) {
			if v := value(mem.Crash(variant)); v != 2 && (v != 1 || err == nil) {
				t.Fatalf("crash before operation %d, variant %d: %v, export said %v", n, variant, v, err)
			}
		}
		if err == nil {
			return
		}
	}
}
