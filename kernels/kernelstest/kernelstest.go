// Package kernelstest is the conformance suite of backends: every op, forward
// and backward, over odd sizes, attributes, accumulation and operands that are
// views, compared with the portable loops of kernels/cpu.
//
// A backend's test is
//
//	func TestConformance(t *testing.T) { kernelstest.Run(t, open) }
//
// Promises: inputs are a function of a seed and of the names of case and
// operand; what an op must overwrite holds NaN before; elements around every
// operand are watched; all tolerances stand in one table (tolerance.go). The
// portable loops themselves are checked by this package's own tests: backward
// ops against differences of forward ops, forward ops against known values.
//
// Left to others: speed, and what only one backend promises, such as equal
// bits for all numbers of threads (but see [Same]).
package kernelstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
)

// Run checks a device on every case. open is called once; Run closes the
// device.
func Run(t *testing.T, open func(t testing.TB) kernels.Device) {
	d, ref := open(t), Reference(t)
	t.Cleanup(func() { d.Close() })
	t.Logf("%s, seed %d", d.Name(), Seed)
	for _, lead := range leads {
		for _, c := range Cases() {
			t.Run(c.Name+lead.suffix, func(t *testing.T) {
				got, want := c.prepare(t, d, lead.n), c.prepare(t, ref, lead.n)
				got.run()
				want.run()
				got.compare(want, c.floor)
				if first := got.bits(); lead.n == 0 && !t.Failed() {
					got.reset()
					got.run()
					got.wantBits(first, "the first run")
				}
			})
		}
	}
	t.Run("all in one list", func(t *testing.T) { runTogether(t, d, ref) })
	t.Run("indices outside", func(t *testing.T) { runOutside(t, d) })
}

// leads are the distances, in elements, of an operand from the start of its
// memory: aligned, and a view at an odd place.
var leads = []struct {
	n      int
	suffix string
}{{0, ""}, {3, " in views"}}

// runTogether compiles the ops of all cases as one list.
func runTogether(t *testing.T, d, ref kernels.Device) {
	all := Case{Name: "all", Ops: func(m *Memory) (ops []kernels.Op) {
		for _, c := range Cases() {
			m.enter(c.Name)
			ops = append(ops, c.Ops(m)...)
		}
		return ops
	}}
	got, want := all.prepare(t, d, 0), all.prepare(t, ref, 0)
	got.run()
	want.run()
	got.compare(want, chained)
}

// Reference opens the device that all others are measured against.
func Reference(t testing.TB) kernels.Device {
	d, err := cpu.New(cpu.Options{Threads: 1, Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Same wants equal bits from two devices on every case.
func Same(t *testing.T, a, b kernels.Device) {
	for _, c := range Cases() {
		x, y := c.prepare(t, a, 0), c.prepare(t, b, 0)
		x.run()
		y.run()
		x.wantBits(y.bits(), b.Name())
		x.close()
		y.close()
	}
}

// NoAllocs wants the executables of all cases to run without allocating. It
// must not run in parallel with other tests.
func NoAllocs(t *testing.T, d kernels.Device) {
	for _, c := range Cases() {
		r := c.prepare(t, d, 0)
		n := testing.AllocsPerRun(1, r.run)
		for try := 0; n != 0 && try < 3; try++ { // the runtime itself may allocate now and then
			n = testing.AllocsPerRun(10, r.run)
		}
		if n != 0 {
			t.Errorf("%s on %s: %v allocations a run, want none", c.Name, d.Name(), n)
		}
		r.close()
	}
}

// Case is a list of ops with operands made on the given memory.
type Case struct {
	Name string
	Ops  func(m *Memory) []kernels.Op

	floor tolerance // of all f32 outputs: errors pass from op to op
}

// env differs from every neutral value.
var env = kernels.Env{Seed: 11, Step: 5, Shard: 2, GradScale: 0.25, Rate: 0.125, GradFactor: 0.5, WeightDecay: 0.75}

// prepared is a case compiled for a device.
type prepared struct {
	t     testing.TB
	name  string
	m     *Memory
	ops   []kernels.Op
	exe   kernels.Executable
	marks []*mark
	told  func(id int) // onMark, bound once: a run allocates nothing
}

// mark remembers what a Mark's tensors held when it was reported.
type mark struct {
	of   *kernels.Mark
	seen [][]byte
	told int
}

func (c Case) prepare(t testing.TB, d kernels.Device, lead int) *prepared {
	t.Helper()
	m := newMemory(t, d, lead)
	m.enter(c.Name)
	p := &prepared{t: t, name: fmt.Sprintf("%s on %s (seed %d)", c.Name, d.Name(), Seed), m: m, ops: c.Ops(m)}
	for _, op := range p.ops {
		if err := kernels.Check(op); err != nil {
			t.Fatalf("%s: the case itself is wrong: %v", c.Name, err)
		}
		if k, ok := op.(*kernels.Mark); ok {
			p.marks = append(p.marks, &mark{of: k, seen: make([][]byte, len(k.After))})
		}
	}
	for _, k := range p.marks {
		for i, x := range k.of.After {
			k.seen[i] = make([]byte, x.Bytes())
		}
	}
	exe, err := d.Compile(p.ops)
	if err != nil {
		t.Fatalf("%s: compile: %v", p.name, err)
	}
	p.exe, p.told = exe, p.onMark
	t.Cleanup(p.close)
	return p
}

func (p *prepared) close() {
	if p.exe != nil {
		p.exe.Close()
		p.m.close()
		p.exe = nil
	}
}

// reset restores what the operands held before the first run.
func (p *prepared) reset() {
	p.m.restore()
	for _, k := range p.marks {
		k.told = 0
	}
}

func (p *prepared) run() {
	if err := p.exe.Run(&env, p.told); err != nil {
		p.t.Fatalf("%s: run: %v", p.name, err)
	}
}

func (p *prepared) onMark(id int) {
	for _, k := range p.marks {
		if k.of.ID == id {
			k.told++
			for i, x := range k.of.After {
				copy(k.seen[i], hostOf(x))
			}
		}
	}
}

// compare wants all outputs close to those of the reference, the memory
// around all operands untouched and marks reported once, in time.
func (p *prepared) compare(want *prepared, floor tolerance) {
	p.t.Helper()
	for i, op := range p.ops {
		outs, refs := op.Outputs(), want.ops[i].Outputs()
		for k := range outs {
			if msg := differ(outs[k], refs[k], toleranceOf(op).atLeast(floor)); msg != "" {
				p.t.Errorf("%s: op %d %T: %v %s", p.name, i, op, outs[k], msg)
			}
		}
	}
	if msg := p.m.trespass(); msg != "" {
		p.t.Errorf("%s: %s", p.name, msg)
	}
	for _, k := range p.marks {
		if k.told != 1 {
			p.t.Errorf("%s: mark %d reported %d times, want once", p.name, k.of.ID, k.told)
		}
		for i, x := range k.of.After {
			if string(k.seen[i]) != string(hostOf(x)) {
				p.t.Errorf("%s: mark %d reported before %v was complete", p.name, k.of.ID, x)
			}
		}
	}
}

// bits is a copy of all outputs.
func (p *prepared) bits() (all [][]byte) {
	for _, op := range p.ops {
		for _, x := range op.Outputs() {
			all = append(all, append([]byte(nil), hostOf(x)...))
		}
	}
	return all
}

func (p *prepared) wantBits(want [][]byte, whose string) {
	p.t.Helper()
	n := 0
	for i, op := range p.ops {
		for _, x := range op.Outputs() {
			if string(hostOf(x)) != string(want[n]) {
				p.t.Errorf("%s: op %d %T: %v differs in bits from %s", p.name, i, op, x, whose)
			}
			n++
		}
	}
}

// differ describes the worst element of got that is out of tolerance.
func differ(got, want *kernels.Tensor, tol tolerance) string {
	if got.DType != kernels.F32 {
		w := hostOf(want)
		for i, b := range hostOf(got) {
			if b != w[i] {
				return fmt.Sprintf("byte %d is %d, want %d", i, b, w[i])
			}
		}
		return ""
	}
	g, w := cpu.F32(got), cpu.F32(want)
	squares := 0.0
	for _, v := range w {
		squares += float64(v) * float64(v)
	}
	rms := math.Sqrt(squares / float64(len(w)))
	worst, at := 0.0, -1
	for i, v := range g {
		a, b := float64(v), float64(w[i])
		if off := math.Abs(a-b) / (tol.Relative*math.Abs(b) + tol.Scale*rms); a != b && !(off <= max(1, worst)) {
			worst, at = off, i
		}
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("element %d is %g, want %g (%.3g times the tolerance)", at, g[at], w[at], worst)
}
