package onnx

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// builder collects the nodes and constants of a file. Images are [N,H,W,C] in
// our networks and [N,C,H,W] in ONNX: a tensor may be known in both layouts,
// each made when it is first asked for.
type builder struct {
	opset      int
	nodes      []message
	constants  []message
	params     map[*kernels.Tensor][]float32
	plain      map[*kernels.Tensor]string // as our networks see it
	planes     map[*kernels.Tensor]string // images with channels in front
	count      int
	transposed map[*kernels.Tensor]string // weights in ONNX's layout
}

func newBuilder(opset int) *builder {
	return &builder{opset: opset, params: map[*kernels.Tensor][]float32{}, plain: map[*kernels.Tensor]string{},
		planes: map[*kernels.Tensor]string{}, transposed: map[*kernels.Tensor]string{}}
}

// name is a new name.
func (b *builder) name(hint string) string {
	b.count++
	return fmt.Sprintf("%s_%d", hint, b.count)
}

// attr is an attribute of a node.
type attr struct {
	name  string
	value any
}

// add emits a node with one output.
func (b *builder) add(op string, in []string, attrs ...attr) string {
	out := b.name(op)
	b.emit(op, in, out, attrs...)
	return out
}

func (b *builder) emit(op string, in []string, out string, attrs ...attr) {
	var list []message
	for _, a := range attrs {
		list = append(list, attribute(a.name, a.value))
	}
	b.nodes = append(b.nodes, node(op, out, in, []string{out}, list))
}

// constant emits float32 values; no dims make a scalar.
func (b *builder) constant(hint string, v []float32, dims ...int) string {
	name := b.name(hint)
	b.constants = append(b.constants, tensor(name, typeFloat, dims, floats(v)))
	return name
}

func (b *builder) scalar(v float32) string { return b.constant("scalar", []float32{v}) }

func (b *builder) integers(v ...int) string {
	name := b.name("shape")
	b.constants = append(b.constants, tensor(name, typeInt64, []int{len(v)}, ints(v)))
	return name
}

// reshape gives x another shape whose first axis may have any length.
func (b *builder) reshape(x string, dims []int) string {
	to := append([]int{-1}, dims[1:]...)
	return b.add("Reshape", []string{x, b.integers(to...)})
}

// input is the name of an operand in our layout.
func (b *builder) input(t *kernels.Tensor) (string, error) {
	if s, ok := b.plain[t]; ok {
		return s, nil
	}
	if v, ok := b.params[t]; ok {
		s := t.Name
		b.constants = append(b.constants, tensor(s, typeFloat, t.Shape, floats(v)))
		b.plain[t] = s
		return s, nil
	}
	if s, ok := b.planes[t]; ok {
		b.plain[t] = b.add("Transpose", []string{s}, attr{"perm", []int{0, 2, 3, 1}})
		return b.plain[t], nil
	}
	if t.Base == nil || t.Len() != t.Root().Len() {
		return "", fmt.Errorf("%v is made by nothing that came before", t)
	}
	s, err := b.input(t.Root())
	if err != nil {
		return "", err
	}
	b.plain[t] = b.reshape(s, t.Shape)
	return b.plain[t], nil
}

// image is the name of an operand [N,H,W,C] with channels in front.
func (b *builder) image(t *kernels.Tensor) (string, error) {
	if s, ok := b.planes[t]; ok {
		return s, nil
	}
	s, err := b.input(t)
	if err != nil {
		return "", err
	}
	b.planes[t] = b.add("Transpose", []string{s}, attr{"perm", []int{0, 3, 1, 2}})
	return b.planes[t], nil
}

// operand is image for images and input for all else.
func (b *builder) operand(t *kernels.Tensor) (string, error) {
	if isImage(t) {
		return b.image(t)
	}
	return b.input(t)
}

// set says what an op's output is called.
func (b *builder) set(t *kernels.Tensor, name string) {
	if isImage(t) {
		b.planes[t] = name
		return
	}
	b.plain[t] = name
}

// isImage reports whether a tensor is kept with channels in front.
func isImage(t *kernels.Tensor) bool { return len(t.Shape) == 4 && t.DType == kernels.F32 }

// permuted reorders axes: axis i of the result is axis order[i] of v.
func permuted(v []float32, shape, order []int) ([]float32, []int) {
	strides, n := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= shape[i]
	}
	to, at := make([]int, len(shape)), make([]int, len(shape))
	for i, o := range order {
		to[i] = shape[o]
	}
	out := make([]float32, n)
	for k := range out {
		from := 0
		for i, o := range order {
			from += at[i] * strides[o]
		}
		out[k] = v[from]
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < to[i] {
				break
			}
			at[i] = 0
		}
	}
	return out, to
}
