package checkpoint_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/checkpoint/checkpointtest"
)

// stateAt is a small state that differs from step to step.
func stateAt(step uint64) State {
	s := State{
		Meta: Meta{
			Step: step, Cursor: 64 * step, Seed: 1<<64 - 1, World: 2, Shards: 4,
			Job: "abc", Tool: "espalier test", Created: time.Unix(1e9, 5).UTC(),
			Plan:    json.RawMessage(`{"version":3,"dims":{"d1":[1,2.50,"<&>\u2028"]}}`),
			Methods: map[string]json.RawMessage{"grow": json.RawMessage(`[1e-7,null]`)},
		},
		Tensors: []Tensor{
			Float32s("conv1.weight", []int{3, 3}, make([]float32, 9)),
			{Name: "mask", DType: U8, Shape: []int{5}, Data: []byte{1, 2, 3, 4, byte(step)}},
			{Name: "ages", DType: I64, Shape: []int{}, Data: []byte{byte(step), 0, 0, 0, 0, 0, 0, 0}},
			{Name: "none", DType: F32, Shape: []int{0, 7}, Data: []byte{}},
			Float32s("fc.weight", []int{2, 2}, []float32{float32(step), 2, 3, 4}),
		},
	}
	if err := s.Meta.SetPart("optim", map[string]int{"age": int(step)}); err != nil {
		panic(err)
	}
	s.Meta.Digest = Digest(s.Tensors)
	return s
}

// memory returns a store in memory and its file system.
func memory() (Store, *checkpointtest.Memory) {
	mem := checkpointtest.NewMemory()
	if err := mem.Mkdir("/run"); err != nil {
		panic(err)
	}
	return Store{Dir: "/run/checkpoints", FS: mem}, mem
}

func save(t testing.TB, s Store, steps ...uint64) (path string) {
	t.Helper()
	for _, step := range steps {
		var err error
		if path, err = s.Save(stateAt(step)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func names(t testing.TB, s Store) string {
	t.Helper()
	list, err := s.FS.Names(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func TestSaveLoadAnyNumberOfFiles(t *testing.T) {
	want := stateAt(7)
	for files := range 8 { // 5 tensors: some files stay empty
		s, _ := memory()
		s.Files = files
		path := save(t, s, 7)
		got, err := s.Load(path)
		if err != nil {
			t.Fatalf("%d files: %v", files, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d files: loaded\n%+v\nwant\n%+v", files, got, want)
		}
		if err := s.Verify(path); err != nil {
			t.Errorf("%d files: verify: %v", files, err)
		}
		list, _ := s.FS.Names(path)
		if len(list) != max(files, 1)+1 {
			t.Errorf("%d files: folder holds %v", files, list)
		}
	}
}

func TestSaveIsAFunctionOfTheState(t *testing.T) {
	a, memA := memory()
	b, memB := memory()
	for _, name := range []string{"manifest.json", "state-00000-of-00001.safetensors"} {
		x, _ := memA.Bytes(filepath.Join(save(t, a, 3), name))
		y, _ := memB.Bytes(filepath.Join(save(t, b, 3), name))
		if len(x) == 0 || string(x) != string(y) {
			t.Errorf("%s: two saves of one state differ", name)
		}
	}
}

func TestSaveOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "checkpoints") // both made by Save
	for _, step := range []uint64{1, 2, 12345678901} {
		if err := Save(dir, stateAt(step)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prune(dir, 2); err != nil {
		t.Fatal(err)
	}
	path, skipped, err := Latest(dir)
	if err != nil || skipped != nil || filepath.Base(path) != "step-12345678901" {
		t.Fatalf("latest: %s %v %v", path, skipped, err)
	}
	got, err := Load(path)
	if err != nil || !reflect.DeepEqual(got, stateAt(12345678901)) {
		t.Errorf("loaded %+v, %v", got, err)
	}
	list, _ := os.ReadDir(dir)
	if len(list) != 2 || list[0].Name() != "step-00000002" {
		t.Errorf("after pruning: %v", list)
	}
	// The state file is an ordinary safetensors file.
	tensors, _, err := Import(filepath.Join(path, "state-00000-of-00001.safetensors"))
	if err != nil || !reflect.DeepEqual(byName(tensors), byName(got.Tensors)) {
		t.Errorf("import: %v, %v", tensors, err)
	}
	// And a checkpoint may be moved away and loaded from there.
	moved := filepath.Join(t.TempDir(), "best")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(moved); err != nil {
		t.Error(err)
	}
}

func TestSaveRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*State)
		want   string
	}{
		{"wrong digest", func(s *State) { s.Meta.Digest[0]++ }, "digest of the tensors"},
		{"wrong length", func(s *State) { s.Tensors[0].Data = nil }, `"conv1.weight"`},
		{"twice in one file", func(s *State) { s.Tensors[1].Name = "ages" }, `"ages"`},
		{"twice in two files", func(s *State) { s.Tensors[4].Name = "conv1.weight"; s.Meta.Digest = Sum{} }, `"conv1.weight"`},
		{"plan no JSON", func(s *State) { s.Meta.Plan = json.RawMessage("{") }, "plan"},
		{"method no JSON", func(s *State) { s.Meta.Methods["grow"] = json.RawMessage("") }, "grow"},
		{"part no JSON", func(s *State) { s.Meta.Parts["optim"] = json.RawMessage("1,") }, "optim"},
	} {
		s, _ := memory()
		s.Files = 2
		save(t, s, 1)
		st := stateAt(2)
		c.change(&st)
		_, err := s.Save(st)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %s", c.name, err, c.want)
		}
		if got := names(t, s); got != "step-00000001" {
			t.Errorf("%s: left %s", c.name, got)
		}
	}
}

func TestDigestIsFilledIn(t *testing.T) {
	s, _ := memory()
	st := stateAt(1)
	want := st.Meta.Digest
	st.Meta.Digest = Sum{}
	path, err := s.Save(st)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(path); err != nil || got.Meta.Digest != want {
		t.Errorf("%v, %v, want %v", got.Meta.Digest, err, want)
	}
}

func TestSeveralWriters(t *testing.T) {
	s, _ := memory()
	st := stateAt(4)
	d, err := s.Draft(4)
	if err != nil {
		t.Fatal(err)
	}
	parts := make([]Part, 3)
	for _, i := range []int{2, 0, 1} { // in any order, as ranks do
		group := st.Tensors[min(2*i, 5):min(2*i+2, 5)]
		p, err := s.WritePart(d.Folder(), i, 3, group)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := json.Marshal(p) // parts travel to the one who commits
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(wire, &parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	path, err := d.Commit(st.Meta, parts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(path); err != nil || !reflect.DeepEqual(got, st) {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

func TestCommitRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *Meta, parts []Part) []Part
		want   string
	}{
		{"no parts", func(m *Meta, p []Part) []Part { return nil }, "no files"},
		{"a part missing", func(m *Meta, p []Part) []Part { return p[:1] }, "state-00000-of-00001"},
		{"parts swapped", func(m *Meta, p []Part) []Part { p[0], p[1] = p[1], p[0]; return p }, "state-00000-of-00002"},
		{"another step", func(m *Meta, p []Part) []Part { m.Step = 5; return p }, "step 5"},
	} {
		s, _ := memory()
		st := stateAt(4)
		d, err := s.Draft(4)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := s.WritePart(d.Folder(), 0, 2, st.Tensors[:2])
		b, errB := s.WritePart(d.Folder(), 1, 2, st.Tensors[2:])
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		parts := c.change(&st.Meta, []Part{a, b})
		if _, err := d.Commit(st.Meta, parts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		if got := names(t, s); got != "" {
			t.Errorf("%s: left %s", c.name, got)
		}
	}
}

func TestMetaParts(t *testing.T) {
	st := stateAt(3)
	var got map[string]int
	if err := st.Meta.Part("optim", &got); err != nil || got["age"] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if err := st.Meta.Part("data", &got); err == nil || !strings.Contains(err.Error(), `"data"`) {
		t.Errorf("a missing part: %v", err)
	}
	var wrong []int
	if err := st.Meta.Part("optim", &wrong); err == nil {
		t.Error("a part of another type was decoded")
	}
	if x, ok := st.Find("mask"); !ok || x.Data[4] != 3 {
		t.Errorf("find: %v %v", x, ok)
	}
	if _, ok := st.Find("mas"); ok {
		t.Error("found a tensor that isn't there")
	}
}

func TestLatestPassesOverDamage(t *testing.T) {
	const state = "state-00000-of-00001.safetensors"
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	for _, c := range []struct {
		name   string
		damage func(m *checkpointtest.Memory, newest string) error
		want   string
	}{
		{"no manifest", func(m *checkpointtest.Memory, p string) error { return m.Remove(p + "/manifest.json") }, "manifest.json"},
		{"manifest cut", func(m *checkpointtest.Memory, p string) error { return m.Corrupt(p+"/manifest.json", cut) }, "manifest.json: cut short"},
		{"manifest empty", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/manifest.json", func([]byte) []byte { return nil })
		}, "manifest.json"},
		{"state missing", func(m *checkpointtest.Memory, p string) error { return m.Remove(p + "/" + state) }, state},
		{"state cut", func(m *checkpointtest.Memory, p string) error { return m.Corrupt(p+"/"+state, cut) }, state},
		{"state longer", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/"+state, func(b []byte) []byte { return append(b, 0) })
		}, state},
		{"state altered", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/"+state, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}, state + `: tensor "mask"`},
		{"state of another step", func(m *checkpointtest.Memory, p string) error {
			other, err := m.Bytes("/run/checkpoints/step-00000001/" + state)
			return errors.Join(err, m.Corrupt(p+"/"+state, func([]byte) []byte { return other }))
		}, state + ": tensor"},
		{"folder renamed", func(m *checkpointtest.Memory, p string) error {
			return m.Rename(p, "/run/checkpoints/step-00000003")
		}, "manifest is of step 2"},
	} {
		s, mem := memory()
		if err := c.damage(mem, save(t, s, 1, 2)); err != nil {
			t.Fatal(err)
		}
		path, skipped, err := s.Latest()
		if err != nil || filepath.Base(path) != "step-00000001" {
			t.Errorf("%s: latest is %q, %v", c.name, path, err)
		}
		if len(skipped) != 1 || !errors.Is(skipped[0], ErrDamaged) || !strings.Contains(skipped[0].Error(), c.want) {
			t.Errorf("%s: skipped %v, want one error with %q", c.name, skipped, c.want)
		}
		st, path2, skipped2, err := s.LoadLatest()
		if err != nil || path2 != path || len(skipped2) != 1 || !reflect.DeepEqual(st, stateAt(1)) {
			t.Errorf("%s: load latest: %v %s %v %v", c.name, st.Meta, path2, skipped2, err)
		}
	}
}

func TestLatestOfNothing(t *testing.T) {
	s, mem := memory()
	if _, skipped, err := s.Latest(); !errors.Is(err, ErrNone) || skipped != nil {
		t.Errorf("no folder: %v %v, want ErrNone", skipped, err)
	}
	path := save(t, s, 1)
	if err := mem.Remove(path + "/manifest.json"); err != nil {
		t.Fatal(err)
	}
	st, _, skipped, err := s.LoadLatest()
	if !errors.Is(err, ErrNone) || len(skipped) != 1 || st.Tensors != nil {
		t.Errorf("a damaged one: %v %v, want ErrNone and one reason", skipped, err)
	}
}

// An I/O error isn't damage, but no reason to give up older checkpoints either.
func TestLatestPassesOverUnreadable(t *testing.T) {
	s, mem := memory()
	save(t, s, 1, 2)
	s.FS = &checkpointtest.Faulty{FS: mem, Before: func(op checkpointtest.Op) error {
		if op.Kind == "read" && strings.Contains(op.Path, "step-00000002") {
			return fs.ErrPermission
		}
		return nil
	}}
	path, skipped, err := s.Latest()
	if err != nil || filepath.Base(path) != "step-00000001" || len(skipped) != 1 {
		t.Fatalf("%s %v %v", path, skipped, err)
	}
	if !errors.Is(skipped[0], fs.ErrPermission) || errors.Is(skipped[0], ErrDamaged) {
		t.Errorf("skipped because %v", skipped[0])
	}
	if err := s.Prune(1); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("prune: %v, want the reason why it can't judge step 2", err)
	}
	if got := names(t, s); got != "step-00000001 step-00000002" {
		t.Errorf("prune left %s", got)
	}
}

// No altered bit goes unnoticed, in any file, nor does any missing end.
func TestEveryBitCounts(t *testing.T) {
	s, mem := memory()
	s.Files = 2
	path := save(t, s, 1)
	list, _ := s.FS.Names(path)
	for _, name := range list {
		file := filepath.Join(path, name)
		whole, err := mem.Bytes(file)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			if err := mem.Corrupt(file, func([]byte) []byte { return b }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range whole {
			b := slices.Clone(whole)
			b[i] ^= 1 << (i % 8)
			put(b)
			if err := s.Verify(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s: byte %d altered: %v", name, i, err)
			}
			put(whole[:i])
			if err := s.Verify(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s: cut at %d: %v", name, i, err)
			}
		}
		put(whole)
	}
	if err := s.Verify(path); err != nil {
		t.Error(err)
	}
}

func TestSavingAStepAgain(t *testing.T) {
	s, mem := memory()
	first := save(t, s, 1, 2)
	if err := mem.Remove(first + "/manifest.json"); err != nil {
		t.Fatal(err)
	}
	for i := range 12 { // past .9, which sorts after .10 as text
		want := fmt.Sprintf("step-00000002.%d", i+1)
		if got := filepath.Base(save(t, s, 2)); got != want {
			t.Errorf("saved as %s, want %s", got, want)
		}
		if path, skipped, err := s.Latest(); filepath.Base(path) != want || skipped != nil || err != nil {
			t.Errorf("latest is %s %v %v, want %s", path, skipped, err, want)
		}
	}
	if err := s.Prune(2); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); got != "step-00000001 step-00000002.12" {
		t.Errorf("prune left %s", got)
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		name    string
		damaged []string // of steps 1 to 5
		keep    int
		want    string
	}{
		{"newest", nil, 2, "4 5"},
		{"one", nil, 1, "5"},
		{"more than there are", nil, 9, "1 2 3 4 5"},
		{"damaged ones don't count", []string{"4"}, 2, "3 5"},
		{"newer damaged ones stay", []string{"4", "5"}, 1, "3 4 5"},
		{"older damaged ones go", []string{"1", "2"}, 3, "3 4 5"},
		{"the only good one stays", []string{"2", "3", "4", "5"}, 1, "1 2 3 4 5"},
		{"nothing good: nothing goes", []string{"1", "2", "3", "4", "5"}, 1, "1 2 3 4 5"},
	} {
		s, mem := memory()
		save(t, s, 5, 1, 2, 4, 3)
		for _, d := range c.damaged {
			file := s.Dir + "/step-0000000" + d + "/state-00000-of-00001.safetensors"
			if err := mem.Corrupt(file, func(b []byte) []byte { return b[1:] }); err != nil {
				t.Fatal(err)
			}
		}
		if err := mem.Mkdir(s.Dir + "/step-00000009.tmp-77"); err != nil {
			t.Fatal(err)
		}
		if err := s.Prune(c.keep); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(names(t, s), "step-0000000", ""); got != c.want {
			t.Errorf("%s: left %s, want %s", c.name, got, c.want)
		}
	}
	s, _ := memory()
	if err := s.Prune(0); err == nil {
		t.Error("prune to 0 was allowed")
	}
	if err := s.Prune(1); err != nil {
		t.Errorf("prune without a folder: %v", err)
	}
}

func TestStrangersAreLeftAlone(t *testing.T) {
	s, mem := memory()
	save(t, s, 1)
	for _, name := range []string{"notes", "step-1", "step-00000002.x", "step-00000002.0", "step-00000002.01", "step-+0000002", "best.tmp-1"} {
		if err := mem.Mkdir(s.Dir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, s)
	path, skipped, err := s.Latest()
	if err != nil || skipped != nil || filepath.Base(path) != "step-00000001" {
		t.Errorf("latest: %s %v %v", path, skipped, err)
	}
	if err := s.Prune(1); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); got != before {
		t.Errorf("left %s, want %s", got, before)
	}
}
