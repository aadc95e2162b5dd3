package kernelstest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// Seed of all inputs.
const Seed = 1

const (
	guard = 16   // elements after every operand that must stay as they are
	alarm = 0x5a // what they are filled with
)

// Memory makes operands on a device and fills them. What an operand holds
// depends on Seed and the names of case and operand alone.
type Memory struct {
	t     testing.TB
	d     kernels.Device
	lead  int // elements in front of every operand
	key   philox.Key
	made  []made
	bufs  []kernels.Buffer
	used  int // bytes of the last buffer
	marks int
}

// made is an operand, the memory it and its surroundings lie in, and what
// that held at first.
type made struct {
	x          *kernels.Tensor
	mem, start []byte
}

func newMemory(t testing.TB, d kernels.Device, lead int) *Memory {
	return &Memory{t: t, d: d, lead: lead}
}

func (m *Memory) enter(name string) { m.key = philox.NewKey(Seed, name) }

// take returns n bytes of a buffer and where they start.
func (m *Memory) take(n int) (kernels.Buffer, int) {
	const line, slab = 64, 1 << 18
	if len(m.bufs) == 0 || m.used+n > m.bufs[len(m.bufs)-1].Bytes() {
		buf, err := m.d.Alloc(max(n, slab))
		if err != nil {
			m.t.Fatal(err)
		}
		if buf.Host() == nil {
			m.t.Fatalf("%s: memory of the device cannot be addressed", m.d.Name())
		}
		m.bufs, m.used = append(m.bufs, buf), 0
	}
	at := m.used
	m.used += (n + line - 1) &^ (line - 1)
	return m.bufs[len(m.bufs)-1], at
}

// tensor makes an operand with watched memory around it.
func (m *Memory) tensor(name string, d kernels.DType, shape []int) *kernels.Tensor {
	base := kernels.New(name, d, shape...)
	x, n := base, m.lead+base.Len()+guard
	if m.lead > 0 {
		base = kernels.New(name, d, n)
		x = base.View(m.lead, shape...)
	}
	base.Buf, base.Off = m.take(n * d.Size())
	mem := base.Buf.Host()[base.Off:][:n*d.Size()]
	for i := range mem {
		mem[i] = alarm
	}
	m.made = append(m.made, made{x: x, mem: mem})
	return x
}

// keep remembers the operand made last as it is now.
func (m *Memory) keep() {
	k := &m.made[len(m.made)-1]
	k.start = slices.Clone(k.mem)
}

func (m *Memory) restore() {
	for _, k := range m.made {
		copy(k.mem, k.start)
	}
}

func (m *Memory) close() {
	for _, b := range m.bufs {
		b.Close()
	}
}

// trespass names an operand with changed memory around it.
func (m *Memory) trespass() string {
	for _, k := range m.made {
		all, start := k.mem, m.lead*k.x.DType.Size()
		end := start + k.x.Bytes()
		if at := bytes.IndexFunc(slices.Concat(all[:start], all[end:]), func(r rune) bool { return r != alarm }); at >= 0 {
			return fmt.Sprintf("memory around %v was written: byte %d of the %d before and %d after", k.x, at, start, len(all)-end)
		}
	}
	return ""
}

// hostOf returns the bytes of a placed tensor.
func hostOf(x *kernels.Tensor) []byte {
	buf, off := x.Place()
	return buf.Host()[off : off+x.Bytes()]
}

// Fill makes an operand whose element i is f(i).
func (m *Memory) Fill(name string, f func(i int) float32, shape ...int) *kernels.Tensor {
	x := m.tensor(name, kernels.F32, shape)
	v := cpu.F32(x)
	for i := range v {
		v[i] = f(i)
	}
	m.keep()
	return x
}

// random returns the numbers of an operand by name: mean 0, deviation 1, bell
// shaped, cheap (the sum of two uniform numbers). It must be called for
// i = 0, 1, 2, ….
func (m *Memory) random(name string) func(i int) float32 {
	key := m.key.With(uint64(hash(name)))
	var words [4]uint32
	return func(i int) float32 {
		if i%4 == 0 {
			words = key.Index(uint64(i / 4))
		}
		w := words[i%4]
		return (float32(w>>16) + float32(w&0xffff) - 0xffff) * (1.0 / (1 << 16)) * 2.4494897 // √6
	}
}

func hash(s string) uint32 { return philox.NewKey(Seed, s)[0] }

// Random makes an operand of numbers of mean 0 and deviation 1.
func (m *Memory) Random(name string, shape ...int) *kernels.Tensor {
	return m.Fill(name, m.random(name), shape...)
}

// Spread makes an operand of random numbers with the given mean and deviation.
func (m *Memory) Spread(name string, mean, std float32, shape ...int) *kernels.Tensor {
	f := m.random(name)
	return m.Fill(name, func(i int) float32 { return mean + std*f(i) }, shape...)
}

// Coarse makes an operand of few different values, so that many are equal.
func (m *Memory) Coarse(name string, shape ...int) *kernels.Tensor {
	f := m.random(name)
	return m.Fill(name, func(i int) float32 { return float32(math.Round(float64(f(i)))) }, shape...)
}

// Positive makes an operand of numbers from 0.5 up.
func (m *Memory) Positive(name string, shape ...int) *kernels.Tensor {
	f := m.random(name)
	return m.Fill(name, func(i int) float32 { return 0.5 + float32(math.Abs(float64(f(i)))) }, shape...)
}

// Out makes an operand that an op overwrites: it holds NaN.
func (m *Memory) Out(name string, shape ...int) *kernels.Tensor {
	return m.Fill(name, func(int) float32 { return float32(math.NaN()) }, shape...)
}

// Sum makes an operand that an op adds to, or with acc false overwrites.
func (m *Memory) Sum(acc bool, name string, shape ...int) *kernels.Tensor {
	if acc {
		return m.Random(name, shape...)
	}
	return m.Out(name, shape...)
}

// Index makes an operand of numbers from low to below n.
func (m *Memory) Index(name string, low, n int, shape ...int) *kernels.Tensor {
	x := m.tensor(name, kernels.I32, shape)
	key := m.key.With(uint64(hash(name)))
	v := cpu.I32(x)
	for i := range v {
		v[i] = int32(low + philox.Below(key.Index(uint64(i))[0], n-low))
	}
	m.keep()
	return x
}

// Bytes makes an operand of bytes that an op overwrites.
func (m *Memory) Bytes(name string, shape ...int) *kernels.Tensor {
	x := m.tensor(name, kernels.U8, shape)
	m.keep()
	return x
}

// Mark makes a mark with an ID of its own.
func (m *Memory) Mark(after ...*kernels.Tensor) *kernels.Mark {
	m.marks++
	return &kernels.Mark{ID: m.marks, After: after}
}
