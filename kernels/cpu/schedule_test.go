package cpu

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// scene is a random list of ops over a few tensors, which are read, written
// and overwritten in any order: a small network gone mad.
type scene struct {
	t      testing.TB
	d      *Device
	seed   int
	drawn  uint64
	images [2][]*kernels.Tensor // [n,4,4,8], of two batch sizes
	pooled [2][]*kernels.Tensor // [n,8]
	weight []*kernels.Tensor    // [3,3,8,8]
	square []*kernels.Tensor    // [8,8]
	vector []*kernels.Tensor    // [8]
	all    []*kernels.Tensor
	ops    []kernels.Op
}

var sceneEnv = kernels.Env{Seed: 3, Step: 2, Shard: 1, GradScale: 1, Rate: 0.1, GradFactor: 1, WeightDecay: 1}

// below draws from [0, n).
func (s *scene) below(n int) int {
	s.drawn++
	return philox.Below(philox.NewKey(uint64(s.seed), "scene").Index(s.drawn)[0], n)
}

func (s *scene) pick(from []*kernels.Tensor) *kernels.Tensor { return from[s.below(len(from))] }

// make adds count tensors of small random numbers.
func (s *scene) make(name string, count int, shape ...int) (made []*kernels.Tensor) {
	for i := range count {
		t := kernels.New(fmt.Sprint(name, i), kernels.F32, shape...)
		buf, err := s.d.Alloc(t.Bytes())
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { buf.Close() })
		t.Buf = buf
		key := philox.NewKey(uint64(s.seed), t.Name)
		for k := range F32(t) {
			F32(t)[k] = (philox.Uniform(key.Index(uint64(k))[0]) - 0.5) / 4
		}
		made = append(made, t)
	}
	s.all = append(s.all, made...)
	return made
}

func newScene(t testing.TB, d *Device, seed int) *scene {
	s := &scene{t: t, d: d, seed: seed}
	for k, n := range [2]int{1 + s.below(12), 66} {
		s.images[k] = s.make(fmt.Sprint("images", n, " "), 5, n, 4, 4, 8)
		s.pooled[k] = s.make(fmt.Sprint("pooled", n, " "), 3, n, 8)
		// parts of the same memory whose images lie elsewhere
		whole := s.images[k][0]
		s.images[k] = append(s.images[k], s.make("long", 1, n+1, 4, 4, 8)[0].View(128, n, 4, 4, 8))
		s.images[k] = append(s.images[k], s.images[k][5].Base.View(0, n, 4, 4, 8))
		s.pooled[k] = append(s.pooled[k], whole.View(0, n, 8), whole.View(whole.Len()-8*n, n, 8))
	}
	s.weight, s.square, s.vector = s.make("weight", 3, 3, 3, 8, 8), s.make("square", 3, 8, 8), s.make("vector", 9, 8)
	for want := 4 + s.below(24); len(s.ops) < want; {
		if op := s.op(s.below(2)); kernels.Check(op) == nil {
			s.ops = append(s.ops, op)
		}
	}
	return s
}

// op draws one op on images of batch size k. It may be malformed.
func (s *scene) op(k int) kernels.Op {
	x, y, z := s.pick(s.images[k]), s.pick(s.images[k]), s.pick(s.images[k])
	p, q := s.pick(s.pooled[k]), s.pick(s.pooled[k])
	w, m := s.pick(s.weight), s.pick(s.square)
	v := func() *kernels.Tensor { return s.pick(s.vector) }
	acc, relu := s.below(2) == 0, s.below(2) == 0
	same := kernels.Conv{Stride: 1, Pad: 1, Groups: 1}
	switch s.below(17) {
	case 0:
		return &kernels.Conv2D{X: x, W: w, Y: y, Conv: same}
	case 1:
		return &kernels.ConvInput{DY: x, W: w, DX: y, Conv: same, Acc: acc}
	case 2:
		return &kernels.ConvWeight{X: x, DY: y, DW: w, Conv: same, Acc: acc}
	case 3:
		return &kernels.BatchNorm{X: x, Gamma: v(), Beta: v(), Y: y, Mean: v(), Var: v(), InvStd: v(), ReLU: relu, Eps: 1}
	case 4:
		return &kernels.BatchNormGrad{X: x, Y: y, DY: z, Gamma: v(), Mean: v(), InvStd: v(), DX: s.pick(s.images[k]), DGamma: v(), DBeta: v(), ReLU: relu}
	case 5, 6, 7:
		return &kernels.Unary{X: x, Y: y, Fn: kernels.Tanh}
	case 8:
		return &kernels.Binary{A: x, B: y, Y: z, Fn: kernels.BinFn(s.below(3)), Acc: acc}
	case 9:
		return &kernels.Axpby{X: x, Y: y, Alpha: 0.5, Beta: 0.25}
	case 10:
		return &kernels.SumRows{X: x, Y: v(), Acc: acc}
	case 11:
		return &kernels.GlobalPool{X: x, Y: p}
	case 12:
		return &kernels.GlobalPoolGrad{DY: p, DX: x, Acc: acc}
	case 13:
		return &kernels.MatMul{A: p, B: m, C: q, TransB: relu, Acc: acc, Alpha: 0.25}
	case 14:
		return &kernels.MatMul{A: p, B: q, C: m, TransA: true, Acc: acc, Alpha: 0.25}
	case 15:
		return &kernels.Dropout{X: x, Y: y, P: 0.25, ID: uint32(s.below(99)), Acc: acc}
	}
	return &kernels.Mark{ID: len(s.ops), After: []*kernels.Tensor{x, w, m}}
}

// run executes the ops, compiled in lists of at most n.
func (s *scene) run(n int) {
	for at := 0; at < len(s.ops); at += n {
		exe, err := s.d.Compile(s.ops[at:min(at+n, len(s.ops))])
		if err != nil {
			s.t.Fatalf("seed %d: %v", s.seed, err)
		}
		if err := exe.Run(&sceneEnv, nil); err != nil {
			s.t.Fatalf("seed %d: %v", s.seed, err)
		}
		exe.Close()
	}
}

// sceneDevices are one device of each kind, with more threads than parts are
// likely to finish in order.
func sceneDevices(t *testing.T) (ds []*Device) {
	for _, o := range []Options{{Threads: 3, Spin: -1}, {Threads: 3, Spin: -1, Portable: true}} {
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		ds = append(ds, d)
	}
	return ds
}

const scenes = 40

// A list of ops leaves the same bits as its ops one by one.
func TestScheduleKeepsOrder(t *testing.T) {
	for _, d := range sceneDevices(t) {
		for seed := range scenes {
			together, alone := newScene(t, d, seed), newScene(t, d, seed)
			together.run(len(together.ops))
			alone.run(1)
			for i, x := range together.all {
				if at := firstDifference(F32(x), F32(alone.all[i])); at >= 0 {
					t.Fatalf("%s, seed %d, %d ops: element %d of %v is %g, one by one %g\n%s", d.Name(), seed, len(alone.ops), at, x, F32(x)[at], F32(alone.all[i])[at], together)
				}
			}
		}
	}
}

func firstDifference(a, b []float32) int {
	for i, v := range a {
		if math.Float32bits(v) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

func (s *scene) String() (text string) {
	for i, op := range s.ops {
		text += fmt.Sprintf("%3d %T reads %v writes %v\n", i, op, op.Inputs(), op.Outputs())
	}
	return text
}

// Stages that touch the same memory stay in order: in phases one after the
// other, or in one region on the same slices.
func TestScheduleSeparatesConflicts(t *testing.T) {
	for _, d := range sceneDevices(t) {
		for seed := range scenes {
			s := newScene(t, d, seed)
			stages, phases := numbered(t, d, s.ops)
			for j := range stages {
				for i := range j {
					if !conflicts(&stages[i], []scheduled{{stage: stages[j]}}) {
						continue
					}
					a, b := phases[i], phases[j]
					together := a == b && stages[i].images > 0 && stages[i].images == stages[j].images && !skewed(&stages[i], []scheduled{{stage: stages[j]}})
					if a > b || a == b && !together && !stages[i].isMark {
						t.Fatalf("%s, seed %d: stage %d (%s) in phase %d and then stage %d in phase %d share memory\n%s", d.Name(), seed, i, stages[i].name, a, j, b, s)
					}
				}
			}
		}
	}
}

// numbered schedules ops and returns their stages in order of the list with
// the phase of each. A mark counts as in the phase that it is reported before.
func numbered(t *testing.T, d *Device, ops []kernels.Op) (stages []stage, phaseOf []int) {
	l, s := &lowering{d: d, refs: map[*kernels.Tensor]*ref{}}, &scheduler{}
	markAt := map[int]int{}
	for i, op := range ops {
		st, err := l.lower(op)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range st {
			if x.isMark {
				markAt[x.mark] = len(stages)
			}
			x.name = strconv.Itoa(len(stages))
			stages = append(stages, x)
			s.add(scheduled{x, i})
		}
	}
	s.flush()
	phaseOf = make([]int, len(stages))
	for _, at := range markAt { // unless reported before
		phaseOf[at] = len(s.phases)
	}
	for g, p := range s.phases {
		for _, m := range p.marks {
			phaseOf[markAt[m]] = g
		}
		last := -1
		for _, x := range p.region {
			n, _ := strconv.Atoi(x.name)
			phaseOf[n] = g
			if n < last {
				t.Errorf("stage %d after %d in the region of phase %d", n, last, g)
			}
			last = n
		}
		for _, x := range p.side {
			n, _ := strconv.Atoi(x.name)
			phaseOf[n] = g
		}
	}
	return stages, phaseOf
}

// The spans told to the planner hold all phases in which an op works.
func TestSpansHoldStages(t *testing.T) {
	for _, d := range sceneDevices(t) {
		for seed := range scenes {
			s := newScene(t, d, seed)
			spans, err := d.Schedule(s.ops)
			if err != nil {
				t.Fatal(err)
			}
			_, phases, _, err := d.schedule(s.ops)
			if err != nil {
				t.Fatal(err)
			}
			for g, p := range phases {
				for _, x := range append(p.region, p.side...) {
					if sp := spans[x.op]; g < sp.First || g > sp.Last {
						t.Errorf("%s, seed %d: op %d works in phase %d, outside its span %v", d.Name(), seed, x.op, g, sp)
					}
				}
			}
			for i, sp := range spans {
				if sp.First < 0 || sp.First > sp.Last || sp.Last > max(0, len(phases)-1) {
					t.Errorf("%s, seed %d: op %d has span %v of %d phases", d.Name(), seed, i, sp, len(phases))
				}
			}
		}
	}
}
