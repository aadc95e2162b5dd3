package kernels

// Unary is Y = act(X).
type Unary struct {
	X, Y *Tensor
	Fn   Act
}

// UnaryGrad is DX (+)= DY·act'(·). X is the operand that the derivative is a
// function of: the output of Unary where Fn.FromOutput, else its input.
type UnaryGrad struct {
	X, DY, DX *Tensor
	Fn        Act
	Acc       bool
}

// BinFn is a pointwise function of two operands.
type BinFn uint8

// Binary functions.
const (
	Add BinFn = iota
	Sub
	Mul
)

func (f BinFn) String() string { return [...]string{"add", "sub", "mul"}[f] }

// Binary is Y (+)= fn(A, B). B has A's shape, or a shape that A's ends with
// and is then repeated over A's leading axes.
type Binary struct {
	A, B, Y *Tensor
	Fn      BinFn
	Acc     bool
}

// Axpby is Y = Alpha·X + Beta·Y. With Beta = 0, Y is not read.
type Axpby struct {
	X, Y        *Tensor
	Alpha, Beta float32
}

// Fill sets every element.
type Fill struct {
	Y     *Tensor
	Value float32
}

// Dropout is Y (+)= X⊙m/(1-P) with m drawn from the counter RNG: element i of
// the tensor is kept iff word i%4 of philox.NewKey(Seed, "dropout") at counter
// (i/4, ID, Shard, Step) (low 32 bits each), mapped by philox.Uniform, is ≥ P.
// The same op with the same ID applied to the gradient is its own gradient.
type Dropout struct {
	X, Y *Tensor
	P    float32
	ID   uint32
	Acc  bool
}

// Transpose permutes axes: Y's axis i is X's axis Perm[i].
type Transpose struct {
	X, Y *Tensor
	Perm []int
	Acc  bool
}

// Slab copies Len indices of one axis: Y[…, To+k, …] (+)= X[…, From+k, …].
// All other axes are equal. The rest of Y is left alone, so Y counts as an
// input unless it is covered wholly. Slices, concatenations and their
// gradients are slabs.
type Slab struct {
	X, Y          *Tensor
	Axis          int
	From, To, Len int
	Acc           bool
}

// Gather is Y[i] = Table[Index[i]]: Table [V,D], Index i32 of any shape, Y of
// Index's shape with D appended. The row of an index outside the table is NaN.
type Gather struct{ Table, Index, Y *Tensor }

// GatherGrad is DTable[Index[i]] += DY[i], after clearing unless Acc. Rows
// are added in the order of i; indices outside the table count for nothing.
type GatherGrad struct {
	DY, Index, DTable *Tensor
	Acc               bool
}

// Pool is max or average pooling of X [N,H,W,C] over square windows. Padding
// never wins a maximum and does not count in an average. Where, for maximum
// pooling, is u8 like Y: the position kh·Window+kw of the first maximum.
type Pool struct {
	X, Y, Where         *Tensor
	Max                 bool
	Window, Stride, Pad int
}

// PoolGrad is the gradient of Pool.
type PoolGrad struct {
	DY, Where, DX       *Tensor
	Max                 bool
	Window, Stride, Pad int
	Acc                 bool
}

// GlobalPool is the mean over H and W: X [N,H,W,C], Y [N,C].
type GlobalPool struct{ X, Y *Tensor }

// GlobalPoolGrad is DX (+)= DY/(H·W).
type GlobalPoolGrad struct {
	DY, DX *Tensor
	Acc    bool
}

// Reduce is the sum or mean over one axis of X; Y lacks the axis.
type Reduce struct {
	X, Y *Tensor
	Axis int
	Mean bool
}

// Expand repeats X along a new axis of Y: Y (+)= Alpha·X. It is the gradient
// of Reduce.
type Expand struct {
	X, Y  *Tensor
	Axis  int
	Alpha float32
	Acc   bool
}

// ChannelMap is the parameter-free shortcut of residual networks (He et al.,
// arXiv 1512.03385, option A): Y[n,h,w,k] = X[n,h·Stride,w·Stride,Map[k]], or
// 0 where Map[k] is -1. No channel of X occurs twice in Map.
type ChannelMap struct {
	X, Y   *Tensor
	Stride int
	Map    []int32
}

// ChannelMapGrad is the gradient of ChannelMap.
type ChannelMapGrad struct {
	DY, DX *Tensor
	Stride int
	Map    []int32
	Acc    bool
}

// Mark is no operation: it tells the caller of Run that all ops before it are
// complete, for instance that the gradients of bucket ID may be reduced.
type Mark struct {
	ID int
	// After are the tensors that must be complete; a backend may move the
	// mark past ops that do not touch them.
	After []*Tensor
}
