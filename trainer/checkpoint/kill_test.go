package checkpoint_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
)

// TestMain runs the saving process of TestKill when told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CHECKPOINT_TEST_SAVE_INTO"); dir != "" {
		saveForEver(dir)
	}
	os.Exit(m.Run())
}

// saveForEver saves steps from the one after the newest on, and says so.
func saveForEver(dir string) {
	store := Store{Dir: dir}
	st, _, skipped, err := store.LoadLatest()
	if err != nil && !errors.Is(err, ErrNone) || len(skipped) > 0 {
		fmt.Println("failed:", err, skipped)
		os.Exit(1)
	}
	saver, err := NewSaver(SaverConfig{Store: store, Keep: 2})
	for step := st.Meta.Step + 1; err == nil; step++ {
		err = errors.Join(saver.Begin(stateAt(step)), saver.Wait(context.Background()))
		fmt.Println(step)
	}
	fmt.Println("failed:", err)
	os.Exit(1)
}

// A process killed at any moment leaves every checkpoint it has reported.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	for round := range 6 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "CHECKPOINT_TEST_SAVE_INTO="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		reported := uint64(0)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			step, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Errorf("round %d: the process said %q", round, lines.Text())
				break
			}
			reported = step
			if n == round {
				child.Process.Kill() // what it prints until it dies counts too
			}
		}
		child.Process.Kill()
		child.Wait()
		st, path, skipped, err := Store{Dir: dir}.LoadLatest()
		if err != nil || len(skipped) > 0 || st.Meta.Step < reported || st.Meta.Step > reported+1 {
			t.Fatalf("round %d: latest is %s, skipped %v, %v; step %d was reported", round, path, skipped, err, reported)
		}
		if !reflect.DeepEqual(st, stateAt(st.Meta.Step)) {
			t.Fatalf("round %d: %s isn't the state that was saved", round, path)
		}
	}
}
