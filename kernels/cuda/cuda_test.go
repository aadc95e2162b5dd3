package cuda_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda"
)

// memory places tensors on a device, one buffer each.
type memory struct {
	t    *testing.T
	d    *cuda.Device
	bufs []kernels.Buffer
	err  error
}

func (m *memory) tensor(name string, shape ...int) *kernels.Tensor {
	x := kernels.New(name, kernels.F32, shape...)
	buf, err := m.d.Alloc(x.Bytes())
	if err != nil {
		m.err = errors.Join(m.err, err)
		return x
	}
	m.bufs = append(m.bufs, buf)
	x.Buf = buf
	return x
}

func (m *memory) close() {
	for _, b := range m.bufs {
		b.Close()
	}
}

func (m *memory) sgd(w *kernels.Tensor) *kernels.SGD {
	n := w.Len()
	return &kernels.SGD{W: w, G: m.tensor("g", n), Blocks: kernels.Blocks{Rows: 1, Cols: n, N: 1}, Rates: m.tensor("rates", 1)}
}

func run(t *testing.T, d *cuda.Device, ops []kernels.Op, onMark func(int)) error {
	exe, err := d.Compile(ops)
	if err != nil {
		return err
	}
	return errors.Join(exe.Run(&kernels.Env{Seed: 1}, onMark), exe.Close())
}

func TestOptimizerStepsShareALaunch(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  func(m *memory) []kernels.Op
		want string
		grid int // blocks of the first launch
	}{
		{"three parameters, one of three chunks", func(m *memory) []kernels.Op {
			return []kernels.Op{m.sgd(m.tensor("a", 5)), m.sgd(m.tensor("b", 8193)), m.sgd(m.tensor("c", 4096))}
		}, "sgd", 5},
		{"one parameter twice", func(m *memory) []kernels.Op {
			w := m.tensor("w", 5)
			return []kernels.Op{m.sgd(w), m.sgd(w)}
		}, "sgd sgd", 1},
		{"the second reads what the first wrote", func(m *memory) []kernels.Op {
			a, b := m.sgd(m.tensor("a", 5)), m.sgd(m.tensor("b", 5))
			b.G = a.W
			return []kernels.Op{a, b}
		}, "sgd sgd", 1},
		{"the second writes what the first read", func(m *memory) []kernels.Op {
			a, b := m.sgd(m.tensor("a", 5)), m.sgd(m.tensor("b", 5))
			b.W = a.G
			return []kernels.Op{a, b}
		}, "sgd sgd", 1},
		{"another op between", func(m *memory) []kernels.Op {
			return []kernels.Op{m.sgd(m.tensor("a", 5)), &kernels.Fill{Y: m.tensor("y", 3)}, m.sgd(m.tensor("b", 5))}
		}, "sgd fill sgd", 1},
		{"norms", func(m *memory) []kernels.Op {
			blocks := kernels.Blocks{Rows: 1, Cols: 5000, N: 1}
			return []kernels.Op{
				&kernels.BlockSquares{W: m.tensor("a", 5000), Blocks: blocks, Out: m.tensor("na", 1)},
				&kernels.BlockSquares{W: m.tensor("b", 5000), Blocks: blocks, Out: m.tensor("nb", 1)},
			}
		}, "chunk_squares fold_squares", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder()
			m := &memory{t: t, d: cuda.New(r)}
			if err := run(t, m.d, c.ops(m), nil); err != nil {
				t.Fatal(err)
			}
			if got := r.kernels(); got != c.want || r.launched[0].Grid[0] != c.grid {
				t.Errorf("launches %q, the first of %d blocks, want %q of %d", got, r.launched[0].Grid[0], c.want, c.grid)
			}
		})
	}
}

// step is a list with launches, constants, scratch and marks.
func step(m *memory) []kernels.Op {
	n := 3000
	x, y := m.tensor("x", 4, n), m.tensor("y", n)
	sgd := m.sgd(m.tensor("w", n))
	sgd.G = y
	return []kernels.Op{&kernels.SumRows{X: x, Y: y}, &kernels.Mark{ID: 7, After: []*kernels.Tensor{y}}, sgd}
}

func TestMarksComeAfterWhatIsBeforeThem(t *testing.T) {
	r := newRecorder()
	m := &memory{t: t, d: cuda.New(r)}
	var marks []int
	if err := run(t, m.d, step(m), func(id int) {
		marks = append(marks, id)
		if last := r.calls[len(r.calls)-1]; last != "synchronize" || r.kernels() != "column_sums column_fold" {
			t.Errorf("mark after %q and launches %q", last, r.kernels())
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(marks, []int{7}) || r.kernels() != "column_sums column_fold sgd" {
		t.Errorf("marks %v, launches %q", marks, r.kernels())
	}
}

// A driver that fails at any call: the error comes out, and no memory stays.
func TestFailureAtEveryCall(t *testing.T) {
	session := func(r *recorder) error {
		d := cuda.New(r)
		m := &memory{t: t, d: d}
		ops := step(m)
		err := m.err
		if err == nil {
			x := ops[0].Inputs()[0]
			err = d.WriteF32(x, make([]float32, x.Len()))
		}
		if err == nil {
			err = run(t, d, ops, func(int) {})
		}
		if err == nil {
			w := ops[2].Outputs()[0]
			err = d.ReadF32(w, make([]float32, w.Len()))
		}
		for _, b := range m.bufs {
			err = errors.Join(err, b.Close())
		}
		return errors.Join(err, d.Close())
	}
	good := newRecorder()
	if err := session(good); err != nil {
		t.Fatal(err)
	}
	wantNoMemory(t, good)
	for i, call := range good.calls {
		r := newRecorder()
		r.failAt = i + 1
		if err := session(r); !errors.Is(err, errInjected) {
			t.Errorf("failure of call %d (%s): error %v", i+1, call, err)
		}
		wantNoMemory(t, r)
	}
}

func TestErrorsNameOpKernelAndOperands(t *testing.T) {
	r := newRecorder()
	m := &memory{t: t, d: cuda.New(r)}
	exe, err := m.d.Compile(step(m))
	if err != nil {
		t.Fatal(err)
	}
	r.failAt = len(r.calls) + 2
	err = exe.Run(&kernels.Env{}, nil)
	for _, want := range []string{"op 0 *kernels.SumRows", "x f32[4 3000]", "kernel column_sums", "injected"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestWhatADeviceRefuses(t *testing.T) {
	d, other := cuda.New(newRecorder()), cuda.New(newRecorder())
	m, foreign := &memory{t: t, d: d}, &memory{t: t, d: other}
	closed := m.tensor("closed", 3)
	closed.Buf.Close()
	beyond := m.tensor("beyond", 3)
	beyond.Off = 4
	huge := kernels.New("huge", kernels.F32, 1<<31)
	huge.Buf = m.tensor("little", 1).Buf
	long := &kernels.Attention{QKV: m.tensor("qkv", 1, 20000, 3), O: m.tensor("o", 1, 20000, 1), LSE: m.tensor("lse", 1, 1, 20000), Heads: 1}
	for _, c := range []struct {
		name string
		op   kernels.Op
		want string
		is   error
	}{
		{"an op that is wrong", &kernels.Fill{}, "op 0: fill: Y is missing", nil},
		{"no memory", &kernels.Fill{Y: kernels.New("y", kernels.F32, 3)}, "y f32[3] has no memory", nil},
		{"memory of another device", &kernels.Fill{Y: foreign.tensor("y", 3)}, "not of this device", nil},
		{"memory that is closed", &kernels.Fill{Y: closed}, "closed", nil},
		{"beyond the buffer", &kernels.Fill{Y: beyond}, "lies at 4 of 12 bytes", nil},
		{"too many elements", &kernels.Fill{Y: huge}, "huge", kernels.ErrUnsupported},
		{"too long a sequence", long, "attention", kernels.ErrUnsupported},
	} {
		_, err := d.Compile([]kernels.Op{c.op})
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v, want one with %q (%v)", c.name, err, c.want, c.is)
		}
	}
	x := m.tensor("x", 3)
	for name, err := range map[string]error{
		"a longer slice":  d.WriteF32(x, make([]float32, 4)),
		"another type":    d.WriteI32(x, make([]int32, 3)),
		"a shorter slice": d.ReadF32(x, make([]float32, 2)),
	} {
		if err == nil {
			t.Errorf("copy with %s went through", name)
		}
	}
	if _, err := d.Wrap(make([]float32, 16)); !errors.Is(err, kernels.ErrUnsupported) {
		t.Errorf("wrap: %v, want %v", err, kernels.ErrUnsupported)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	d := cuda.New(silent{})
	m := &memory{t: t, d: d}
	exe, err := d.Compile(step(m))
	if err != nil {
		t.Fatal(err)
	}
	env, told := &kernels.Env{Seed: 3}, func(int) {}
	if n := testing.AllocsPerRun(20, func() { err = exe.Run(env, told) }); n != 0 || err != nil {
		t.Errorf("%v allocations a run (error %v), want none", n, err)
	}
}

// silent is a driver that does nothing.
type silent struct{}

func (silent) Name() string                      { return "silent" }
func (silent) Alloc(int) (uint64, []byte, error) { return 256, nil, nil }
func (silent) Free(uint64) error                 { return nil }
func (silent) ToDevice(uint64, []byte) error     { return nil }
func (silent) FromDevice([]byte, uint64) error   { return nil }
func (silent) Launch(*cuda.Launch) error         { return nil }
func (silent) Synchronize() error                { return nil }
func (silent) Close() error                      { return nil }

func Example() {
	d := cuda.New(silent{})
	defer d.Close()
	fmt.Println(d.Name())
	// Output: cuda silent
}
