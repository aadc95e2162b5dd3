package checkpoint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
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
