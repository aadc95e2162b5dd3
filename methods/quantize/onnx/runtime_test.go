package onnx

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// A little runtime for the operators that the exporter uses, written from
// their specification: float32 elements, sums in float64.

// field is one field of a protocol buffer message.
type field struct {
	n int
	v uint64
	b []byte
}

func fields(t *testing.T, m []byte) (all []field) {
	t.Helper()
	for len(m) > 0 {
		key, n := binary.Uvarint(m)
		m = m[n:]
		f := field{n: int(key >> 3)}
		switch key & 7 {
		case 0:
			f.v, n = binary.Uvarint(m)
			m = m[n:]
		case 2:
			size, n := binary.Uvarint(m)
			f.b, m = m[n:n+int(size)], m[n+int(size):]
		case 5:
			f.v, m = uint64(binary.LittleEndian.Uint32(m)), m[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
		all = append(all, f)
	}
	return all
}

// array is a tensor; integers are kept as float64 too.
type array struct {
	dims []int
	v    []float64
}

func (a array) len() int {
	n := 1
	for _, d := range a.dims {
		n *= d
	}
	return n
}

type operator struct {
	op      string
	in, out []string
	ints    map[string][]int
	float   map[string]float64
}

func (o *operator) int(name string) int { return o.ints[name][0] }

type runtime struct {
	t      *testing.T
	nodes  []operator
	values map[string]array
	opset  int
}

func load(t *testing.T, file []byte) *runtime {
	t.Helper()
	r := &runtime{t: t, values: map[string]array{}}
	for _, f := range fields(t, file) {
		switch f.n {
		case 7:
			for _, g := range fields(t, f.b) {
				switch g.n {
				case 1:
					r.nodes = append(r.nodes, r.operator(g.b))
				case 5:
					name, a := r.tensor(g.b)
					if _, twice := r.values[name]; twice {
						t.Errorf("constant %s is there twice", name)
					}
					r.values[name] = a
				}
			}
		case 8:
			r.opset = int(fields(t, f.b)[1].v)
		}
	}
	return r
}

func (r *runtime) operator(m []byte) operator {
	o := operator{ints: map[string][]int{}, float: map[string]float64{}}
	for _, f := range fields(r.t, m) {
		switch f.n {
		case 1:
			o.in = append(o.in, string(f.b))
		case 2:
			o.out = append(o.out, string(f.b))
		case 4:
			o.op = string(f.b)
		case 5:
			var name string
			for _, a := range fields(r.t, f.b) {
				switch a.n {
				case 1:
					name = string(a.b)
				case 2:
					o.float[name] = float64(math.Float32frombits(uint32(a.v)))
				case 3, 8:
					o.ints[name] = append(o.ints[name], int(int64(a.v)))
				}
			}
		}
	}
	return o
}

func (r *runtime) tensor(m []byte) (name string, a array) {
	var kind int
	var raw []byte
	for _, f := range fields(r.t, m) {
		switch f.n {
		case 1:
			a.dims = append(a.dims, int(f.v))
		case 2:
			kind = int(f.v)
		case 8:
			name = string(f.b)
		case 9:
			raw = f.b
		}
	}
	for i := range a.len() {
		switch kind {
		case typeFloat:
			a.v = append(a.v, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))))
		case typeInt64:
			a.v = append(a.v, float64(int64(binary.LittleEndian.Uint64(raw[8*i:]))))
		case typeInt8:
			a.v = append(a.v, float64(int8(raw[i])))
		case typeInt4:
			a.v = append(a.v, float64(int8(raw[i/2]>>(i%2*4)<<4)>>4))
		default:
			r.t.Fatalf("tensor %s of type %d", name, kind)
		}
	}
	return name, a
}

func (r *runtime) run(x array) array {
	r.values["x"] = x
	for i := range r.nodes {
		o := &r.nodes[i]
		in := make([]array, len(o.in))
		for k, name := range o.in {
			a, ok := r.values[name]
			if !ok {
				r.t.Fatalf("%s reads %s, which nothing has made", o.op, name)
			}
			in[k] = a
		}
		y := r.apply(o, in)
		for k := range y.v {
			y.v[k] = float64(float32(y.v[k]))
		}
		r.values[o.out[0]] = y
	}
	return r.values["logits"]
}

func whole(a array) []int {
	v := make([]int, len(a.v))
	for i, x := range a.v {
		v[i] = int(x)
	}
	return v
}

func (r *runtime) apply(o *operator, in []array) array {
	pointwise := map[string]func(x float64) float64{
		"Identity": func(x float64) float64 { return x }, "Relu": func(x float64) float64 { return math.Max(x, 0) }, "Tanh": math.Tanh,
		"Sigmoid": func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, "Abs": math.Abs, "Round": math.RoundToEven, "Sqrt": math.Sqrt,
	}
	if f := pointwise[o.op]; f != nil {
		y := array{in[0].dims, make([]float64, len(in[0].v))}
		for i, x := range in[0].v {
			y.v[i] = f(x)
		}
		return y
	}
	switch o.op {
	case "Add":
		return broadcast(in[0], in[1], func(a, b float64) float64 { return a + b })
	case "Sub":
		return broadcast(in[0], in[1], func(a, b float64) float64 { return a - b })
	case "Mul":
		return broadcast(in[0], in[1], func(a, b float64) float64 { return a * b })
	case "Div":
		return broadcast(in[0], in[1], func(a, b float64) float64 { return a / b })
	case "Max":
		return broadcast(in[0], in[1], math.Max)
	case "DequantizeLinear":
		dims := slices.Repeat([]int{1}, len(in[0].dims))
		dims[o.int("axis")] = in[1].dims[0]
		return broadcast(in[0], array{dims, in[1].v}, func(a, b float64) float64 { return a * b })
	case "BatchNormalization":
		y, shape := in[0], []int{in[1].dims[0]}
		if len(y.dims) == 4 {
			shape = append(shape, 1, 1)
		}
		at := func(i int) array { return array{shape, in[i].v} }
		y = broadcast(y, at(3), func(a, b float64) float64 { return a - b })
		y = broadcast(y, at(4), func(a, b float64) float64 { return a / math.Sqrt(b+o.float["epsilon"]) })
		y = broadcast(y, at(1), func(a, b float64) float64 { return a * b })
		return broadcast(y, at(2), func(a, b float64) float64 { return a + b })
	case "MatMul":
		return matmul(in[0], in[1])
	case "Conv":
		return conv(o, in)
	case "MaxPool", "AveragePool":
		return pool(o, in[0])
	}
	return r.applyShape(o, in)
}

func (r *runtime) applyShape(o *operator, in []array) array {
	switch o.op {
	case "Reshape", "Flatten":
		dims := []int{in[0].dims[0], -1}
		if o.op == "Reshape" {
			dims = whole(in[1])
		}
		known, free := 1, -1
		for i, d := range dims {
			if d < 0 {
				free = i
			} else {
				known *= d
			}
		}
		if free >= 0 {
			dims[free] = len(in[0].v) / known
		}
		return array{dims, slices.Clone(in[0].v)}
	case "Transpose":
		return pick(in[0], permute(in[0].dims, o.ints["perm"]), func(at []int) []int {
			from := make([]int, len(at))
			for i, p := range o.ints["perm"] {
				from[p] = at[i]
			}
			return from
		})
	case "Gather":
		axis, n := o.int("axis"), len(in[1].dims)
		dims := slices.Concat(in[0].dims[:axis], in[1].dims, in[0].dims[axis+1:])
		return pick(in[0], dims, func(at []int) []int {
			k := 0
			for i, d := range in[1].dims {
				k = k*d + at[axis+i]
			}
			return slices.Concat(at[:axis], []int{int(in[1].v[k])}, at[axis+n:])
		})
	case "Concat":
		axis := o.int("axis")
		dims := slices.Clone(in[0].dims)
		dims[axis] = 0
		for _, a := range in {
			dims[axis] += a.dims[axis]
		}
		y := array{dims: dims}
		each(dims, func(at []int) {
			at = slices.Clone(at)
			for _, a := range in {
				if at[axis] < a.dims[axis] {
					y.v = append(y.v, a.v[offset(a.dims, at)])
					return
				}
				at[axis] -= a.dims[axis]
			}
		})
		return y
	case "Slice":
		axes, steps, dims := whole(in[3]), whole(in[4]), slices.Clone(in[0].dims)
		for i, a := range axes {
			dims[a] = (dims[a] + steps[i] - 1) / steps[i]
		}
		return pick(in[0], dims, func(at []int) []int {
			at = slices.Clone(at)
			for i, a := range axes {
				at[a] *= steps[i]
			}
			return at
		})
	case "Pad":
		pads, dims := whole(in[1]), slices.Clone(in[0].dims)
		for i := range dims {
			dims[i] += pads[i] + pads[i+len(dims)]
		}
		y := array{dims: dims}
		each(dims, func(at []int) {
			for i, d := range in[0].dims {
				if at[i] >= d {
					y.v = append(y.v, 0)
					return
				}
			}
			y.v = append(y.v, in[0].v[offset(in[0].dims, at)])
		})
		return y
	case "ReduceMax", "ReduceMean":
		axes := o.ints["axes"]
		if r.opset >= 18 {
			axes = whole(in[1])
		}
		return reduce(o.op, in[0], axes)
	case "GlobalAveragePool":
		return reduce("ReduceMean", in[0], []int{2, 3})
	case "Softmax":
		most := reduce("ReduceMax", in[0], []int{-1})
		e := broadcast(in[0], most, func(a, b float64) float64 { return math.Exp(a - b) })
		mean := reduce("ReduceMean", e, []int{-1})
		n := float64(e.dims[len(e.dims)-1])
		return broadcast(e, mean, func(a, b float64) float64 { return a / (b * n) })
	case "LayerNormalization":
		d := broadcast(in[0], reduce("ReduceMean", in[0], []int{-1}), func(a, b float64) float64 { return a - b })
		square := broadcast(d, d, func(a, b float64) float64 { return a * b })
		y := broadcast(d, reduce("ReduceMean", square, []int{-1}), func(a, b float64) float64 { return a / math.Sqrt(b+o.float["epsilon"]) })
		y = broadcast(y, in[1], func(a, b float64) float64 { return a * b })
		return broadcast(y, in[2], func(a, b float64) float64 { return a + b })
	}
	r.t.Fatalf("no operator %s", o.op)
	return array{}
}

func permute(dims, perm []int) []int {
	to := make([]int, len(dims))
	for i, p := range perm {
		to[i] = dims[p]
	}
	return to
}

// each calls f for every index in order; f must not keep it.
func each(dims []int, f func(at []int)) {
	at := make([]int, len(dims))
	n := 1
	for _, d := range dims {
		n *= d
	}
	for range n {
		f(at)
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < dims[i] {
				break
			}
			at[i] = 0
		}
	}
}

func offset(dims, at []int) int {
	n := 0
	for i, d := range dims {
		n = n*d + at[i]
	}
	return n
}

func pick(a array, dims []int, from func(at []int) []int) array {
	y := array{dims: dims}
	each(dims, func(at []int) { y.v = append(y.v, a.v[offset(a.dims, from(at))]) })
	return y
}

func broadcast(a, b array, f func(a, b float64) float64) array {
	n := max(len(a.dims), len(b.dims))
	at := func(d []int, i int) int {
		if i -= n - len(d); i >= 0 {
			return d[i]
		}
		return 1
	}
	y := array{dims: make([]int, n)}
	for i := range n {
		y.dims[i] = max(at(a.dims, i), at(b.dims, i))
	}
	place := func(d, idx []int) int {
		k := 0
		for i := range n {
			if s := at(d, i); s > 1 {
				k = k*s + idx[i]
			}
		}
		return k
	}
	each(y.dims, func(idx []int) { y.v = append(y.v, f(a.v[place(a.dims, idx)], b.v[place(b.dims, idx)])) })
	return y
}

func reduce(op string, a array, axes []int) array {
	dims, n := slices.Clone(a.dims), 1
	for _, x := range axes {
		if x < 0 {
			x += len(dims)
		}
		n *= dims[x]
		dims[x] = 1
	}
	y := array{dims: dims}
	y.v = make([]float64, y.len())
	if op == "ReduceMax" {
		for i := range y.v {
			y.v[i] = math.Inf(-1)
		}
	}
	i := 0
	each(a.dims, func(at []int) {
		to := make([]int, len(at))
		for k := range at {
			to[k] = min(at[k], dims[k]-1)
		}
		k := offset(dims, to)
		if op == "ReduceMax" {
			y.v[k] = math.Max(y.v[k], a.v[i])
		} else {
			y.v[k] += a.v[i] / float64(n)
		}
		i++
	})
	return y
}

func matmul(a, b array) array {
	n := len(a.dims)
	m, k, cols := a.dims[n-2], a.dims[n-1], b.dims[len(b.dims)-1]
	y := array{dims: append(slices.Clone(a.dims[:n-1]), cols)}
	y.v = make([]float64, y.len())
	for batch := range len(a.v) / (m * k) {
		w := b.v
		if len(b.dims) > 2 {
			w = b.v[batch*k*cols:]
		}
		for i := range m {
			row := y.v[(batch*m+i)*cols:][:cols]
			for j := range k {
				x := a.v[(batch*m+i)*k+j]
				for c := range row {
					row[c] += x * w[j*cols+c]
				}
			}
		}
	}
	return y
}

func conv(o *operator, in []array) array {
	x, w := in[0], in[1]
	s, p, groups := o.ints["strides"][0], o.ints["pads"][0], o.int("group")
	outs, per, side := w.dims[0], w.dims[1], w.dims[2]
	h, wd := (x.dims[2]+2*p-side)/s+1, (x.dims[3]+2*p-side)/s+1
	y := array{dims: []int{x.dims[0], outs, h, wd}}
	each(y.dims, func(at []int) {
		sum := 0.0
		if len(in) > 2 {
			sum = in[2].v[at[1]]
		}
		first := at[1] / (outs / groups) * per
		for c := range per {
			for ky := range side {
				for kx := range side {
					iy, ix := at[2]*s+ky-p, at[3]*s+kx-p
					if iy >= 0 && iy < x.dims[2] && ix >= 0 && ix < x.dims[3] {
						sum += x.v[offset(x.dims, []int{at[0], first + c, iy, ix})] * w.v[((at[1]*per+c)*side+ky)*side+kx]
					}
				}
			}
		}
		y.v = append(y.v, sum)
	})
	return y
}

func pool(o *operator, x array) array {
	k, s, p := o.ints["kernel_shape"][0], o.ints["strides"][0], o.ints["pads"][0]
	y := array{dims: []int{x.dims[0], x.dims[1], (x.dims[2]+2*p-k)/s + 1, (x.dims[3]+2*p-k)/s + 1}}
	each(y.dims, func(at []int) {
		most, sum, n := math.Inf(-1), 0.0, 0.0
		for iy := at[2]*s - p; iy < at[2]*s-p+k; iy++ {
			for ix := at[3]*s - p; ix < at[3]*s-p+k; ix++ {
				if iy >= 0 && iy < x.dims[2] && ix >= 0 && ix < x.dims[3] {
					v := x.v[offset(x.dims, []int{at[0], at[1], iy, ix})]
					most, sum, n = math.Max(most, v), sum+v, n+1
				}
			}
		}
		if o.op == "MaxPool" {
			y.v = append(y.v, most)
		} else {
			y.v = append(y.v, sum/n)
		}
	})
	return y
}
