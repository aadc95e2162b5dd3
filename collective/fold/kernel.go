package fold

import (
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// pair stores the combination of a and b in dst, which may be one of them.
type pair func(dst, a, b []byte)

// kernel is that of a type and reduction. collective.Call.Check has refused
// those that do not exist.
func kernel(t collective.DType, op collective.Op) pair {
	switch {
	case t == collective.Float32 && op == collective.Sum:
		return addFloats
	case t == collective.Float32 && op == collective.Max:
		return maximum[float32]
	case t == collective.Float64 && op == collective.Sum:
		return add[float64]
	case t == collective.Float64 && op == collective.Max:
		return maximum[float64]
	case t == collective.Int64 && op == collective.Sum:
		return add[int64]
	case t == collective.Int64 && op == collective.Max:
		return maximum[int64]
	}
	panic(fmt.Sprintf("fold: no %v of %v", op, t))
}

func addFloats(dst, a, b []byte) {
	vec.Add(vec.Of[float32](dst), vec.Of[float32](a), vec.Of[float32](b))
}

func add[T vec.Number](dst, a, b []byte) {
	d, x, y := operands[T](dst, a, b)
	for i := range d {
		d[i] = x[i] + y[i]
	}
}

func maximum[T vec.Number](dst, a, b []byte) {
	d, x, y := operands[T](dst, a, b)
	for i := range d {
		d[i] = max(x[i], y[i])
	}
}

func operands[T vec.Number](dst, a, b []byte) (d, x, y []T) {
	d = vec.Of[T](dst)
	return d, vec.Of[T](a)[:len(d)], vec.Of[T](b)[:len(d)]
}
