package cpu

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// A trial runs an op on the reference and, in memory between pages that must
// not be touched, on the assembly with one and with three threads.
type trial struct {
	name string
	op   kernels.Op
	prev kernels.Op // runs before op, where not nil
	tol  float64    // of |got-want| / (1+|want|); 0 means 2e-5
	set  map[*kernels.Tensor]func(i int) float32
	ints map[*kernels.Tensor]func(i int) int32
	env  kernels.Env

	pairs *kernels.Tensor // an output whose numbers are the sums of two
}

func f32(name string, shape ...int) *kernels.Tensor { return kernels.New(name, kernels.F32, shape...) }
func i32(name string, shape ...int) *kernels.Tensor { return kernels.New(name, kernels.I32, shape...) }
func u8(name string, shape ...int) *kernels.Tensor  { return kernels.New(name, kernels.U8, shape...) }

// sample is the i-th of a stream's standard normal numbers; they repeat.
func sample(stream string, i int) float32 {
	return noise[(uint32(i)+philox.NewKey(1, stream)[0])%uint32(len(noise))]
}

var noise = func() (n [99991]float32) {
	for i := range n {
		n[i] = philox.Normals(philox.NewKey(1, "noise").Index(uint64(i / 4)))[i%4]
	}
	return n
}()

func asBytes[T any](s []T) []byte {
	var z T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(z)))
}

// start returns the contents of an operand before the run: noise in what is
// read, NaN (or 255) in what is only written.
func (c *trial) start(t *kernels.Tensor, read bool) []byte {
	switch {
	case !read:
		return bytes.Repeat([]byte{255}, t.Bytes())
	case t.DType == kernels.I32:
		v := make([]int32, t.Len())
		for i := range v {
			v[i] = c.ints[t](i)
		}
		return asBytes(v)
	case t.DType == kernels.U8:
		v := make([]uint8, t.Len())
		for i := range v {
			v[i] = uint8(c.ints[t](i))
		}
		return v
	}
	v := make([]float32, t.Len())
	for i := range v {
		if f := c.set[t]; f != nil {
			v[i] = f(i)
		} else {
			v[i] = sample(t.Name, i)
		}
	}
	return asBytes(v)
}

// fencedBytes is memory for n bytes that starts or ends at a fence; it ends at
// most 3 bytes early.
func fencedBytes(t testing.TB, n int, atEnd bool) kernels.Buffer {
	return wrapped(asBytes(fenced(t, (n+3)/4, atEnd))[:n])
}

func (c *trial) run(t *testing.T, o Options, atEnd bool) map[*kernels.Tensor][]byte {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ops := []kernels.Op{c.op}
	if c.prev != nil {
		ops = []kernels.Op{c.prev, c.op}
	}
	read := map[*kernels.Tensor]bool{}
	var all []*kernels.Tensor
	for _, op := range ops {
		for _, x := range op.Inputs() {
			read[x] = true
		}
		all = append(append(all, op.Inputs()...), op.Outputs()...)
	}
	for _, x := range all {
		b := fencedBytes(t, x.Bytes(), atEnd)
		copy(b.Host(), c.start(x, read[x]))
		x.Buf, x.Off = b, 0
	}
	x, err := d.Compile(ops)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Run(&c.env, nil); err != nil {
		t.Fatal(err)
	}
	out := map[*kernels.Tensor][]byte{}
	for _, y := range c.op.Outputs() {
		out[y] = bytes.Clone(y.Buf.Host())
	}
	if o.Threads == 1 && !d.Portable() {
		n := 1.0
		for try := 0; n != 0 && try < 4; try++ { // the runtime itself may allocate now and then
			n = testing.AllocsPerRun(5, func() { x.Run(&c.env, nil) })
		}
		if n != 0 {
			t.Errorf("running allocates %v times", n)
		}
	}
	return out
}

func (c *trial) check(t *testing.T) {
	want := c.run(t, Options{Threads: 1, Portable: true}, false)
	one := c.run(t, Options{Threads: 1}, false)
	three := c.run(t, Options{Threads: 3, Spin: -1}, true)
	tol := c.tol
	if tol == 0 {
		tol = 2e-5
	}
	for y := range want {
		if !bytes.Equal(one[y], three[y]) {
			t.Errorf("%v: other bits with 3 threads", y)
		}
		if y.DType != kernels.F32 {
			if !bytes.Equal(one[y], want[y]) {
				t.Errorf("%v: differs from the reference", y)
			}
			continue
		}
		a, b := one[y], want[y]
		if y == c.pairs {
			a, b = pairSums(a), pairSums(b)
		}
		if at, got, ref := differs(a, b, tol); at >= 0 {
			t.Errorf("%v: element %d is %v, want %v", y, at, got, ref)
		}
	}
}

// pairSums adds up numbers held in two parts.
func pairSums(b []byte) []byte {
	f := floatsOf(b)
	s := make([]float32, len(f)/2)
	for i := range s {
		s[i] = f[2*i] + f[2*i+1]
	}
	return asBytes(s)
}

func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// differs returns the position of the first element that is too far off.
func differs(got, want []byte, tol float64) (at int, g, w float32) {
	a := floatsOf(got)
	for i, w := range floatsOf(want) {
		g := a[i]
		if d := math.Abs(float64(g) - float64(w)); g != w && !(d <= tol*(1+math.Abs(float64(w)))) && !(g != g && w != w) {
			return i, g, w
		}
	}
	return -1, 0, 0
}

func runTrials(t *testing.T, trials []trial) {
	needAVX2(t)
	for i := range trials {
		c := &trials[i]
		if c.env == (kernels.Env{}) {
			c.env = kernels.Env{Seed: 3, Step: 5, Shard: 2, GradScale: 0.25, Rate: 0.1, GradFactor: 0.5, WeightDecay: 1}
		}
		name := c.name
		if name == "" {
			name = fmt.Sprintf("%T", c.op)[9:]
		}
		t.Run(name, c.check)
	}
}
