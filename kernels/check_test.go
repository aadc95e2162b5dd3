package kernels

import (
	"errors"
	"strings"
	"testing"
)

func f(name string, shape ...int) *Tensor { return New(name, F32, shape...) }
func i(name string, shape ...int) *Tensor { return New(name, I32, shape...) }
func u(name string, shape ...int) *Tensor { return New(name, U8, shape...) }

var (
	unit   = Conv{Stride: 1, Pad: 1, Groups: 1}
	blocks = Blocks{Rows: 2, Cols: 6, RowBlock: []int32{0, 1}, N: 2}
	whole  = f("whole", 24)
)

// Every row is an op and a part of the complaint; empty means none.
var checks = []struct {
	name string
	op   Op
	want string
}{
	{"matmul", &MatMul{A: f("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 4), Bias: f("d", 4), Act: GELU, Pre: f("p", 2, 4)}, ""},
	{"matmul of rank 3", &MatMul{A: f("a", 2, 5, 3), B: f("b", 3, 4), C: f("c", 2, 5, 4)}, ""},
	{"matmul transposed", &MatMul{A: f("a", 3, 2), B: f("b", 4, 3), C: f("c", 2, 4), TransA: true, TransB: true}, ""},
	{"matmul flattened", &MatMul{A: f("a", 2, 5, 3), B: f("b", 2, 5, 4), C: f("c", 3, 4), TransA: true, Acc: true}, ""},
	{"matmul batch", &MatMul{A: f("a", 7, 3, 2), B: f("b", 7, 3, 4), C: f("c", 7, 2, 4), TransA: true}, ""},
	{"matmul without A", &MatMul{B: f("b", 3, 4), C: f("c", 2, 4)}, "matmul: A is missing, want f32"},
	{"matmul of i32", &MatMul{A: i("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 4)}, "A is a i32[2 3], want f32"},
	{"matmul inner", &MatMul{A: f("a", 2, 3), B: f("b", 5, 4), C: f("c", 2, 4)}, "inner sizes 3 and 5"},
	{"matmul inner transposed", &MatMul{A: f("a", 2, 3), B: f("b", 4, 5), C: f("c", 2, 4), TransB: true}, "inner sizes 3 and 5"},
	{"matmul output", &MatMul{A: f("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 5)}, "want 2 rows of 4"},
	{"matmul bias", &MatMul{A: f("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 4), Bias: f("d", 3)}, "Bias is d f32[3], want f32[4]"},
	{"matmul vector", &MatMul{A: f("a", 3), B: f("b", 3, 4), C: f("c", 1, 4)}, "rank 1, 2, 2"},
	{"matmul batches", &MatMul{A: f("a", 6, 2, 3), B: f("b", 7, 3, 4), C: f("c", 7, 2, 4)}, "equally many matrices"},
	{"matmul rank of B", &MatMul{A: f("a", 2, 3), B: f("b", 1, 3, 4), C: f("c", 2, 4)}, "want rank 2"},
	{"matmul acc with act", &MatMul{A: f("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 4), Acc: true, Act: ReLU}, "want neither"},
	{"matmul act", &MatMul{A: f("a", 2, 3), B: f("b", 3, 4), C: f("c", 2, 4), Act: 9}, "activation 9"},
	{"matmul in place", &MatMul{A: whole.View(0, 2, 2), B: f("b", 2, 2), C: whole.View(3, 2, 2)}, "shares memory with input A"},
	{"matmul side by side", &MatMul{A: whole.View(0, 2, 2), B: f("b", 2, 2), C: whole.View(4, 2, 2)}, ""},

	{"conv", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: unit, Bias: f("b", 8), Act: ReLU}, ""},
	{"conv strided", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 2, 8), Y: f("y", 2, 3, 3, 8), Conv: Conv{2, 1, 2}}, ""},
	{"conv stride 0", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: Conv{0, 1, 1}}, "stride 0, want at least 1"},
	{"conv groups 0", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: Conv{1, 1, 0}}, "0 groups"},
	{"conv groups", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 1, 6), Y: f("y", 2, 5, 6, 6), Conv: Conv{1, 1, 4}}, "4 groups of 4 input and 6 output"},
	{"conv channels", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 3, 8), Y: f("y", 2, 5, 6, 8), Conv: unit}, "weights see 3 channels"},
	{"conv padding", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 9, 10, 8), Conv: Conv{1, 3, 1}}, "padding 3, want 0 to 2"},
	{"conv window", &Conv2D{X: f("x", 2, 2, 6, 4), W: f("w", 5, 5, 4, 8), Y: f("y", 2, 1, 2, 8), Conv: Conv{1, 0, 1}}, "want it to fit"},
	{"conv output", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 5, 8), Conv: unit}, "Y is y f32[2 5 5 8], want f32[2 5 6 8]"},
	{"conv act", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: unit, Act: GELU}, "want none or relu"},
	{"conv rank", &Conv2D{X: f("x", 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: unit}, "want f32[any any any any]"},
	{"conv of nothing", &Conv2D{Conv: unit}, "X is missing, want f32[any any any any]"},
	{"conv empty", &Conv2D{X: f("x", 0, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 0, 5, 6, 8), Conv: unit}, "want axes of at least 1"},
	{"conv huge", &Conv2D{X: f("x", 1<<30, 1<<30, 1<<30, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: unit}, "at most 1099511627776"},
	{"conv input", &ConvInput{DX: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), DY: f("y", 2, 5, 6, 8), Conv: unit}, ""},
	{"conv input output", &ConvInput{DX: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), DY: f("y", 2, 5, 7, 8), Conv: unit}, "DY is y f32[2 5 7 8]"},
	{"conv weight", &ConvWeight{X: f("x", 2, 5, 6, 4), DW: f("w", 3, 3, 4, 8), DY: f("y", 2, 5, 6, 8), Conv: unit, Acc: true}, ""},
	{"conv weight channels", &ConvWeight{X: f("x", 2, 5, 6, 4), DW: f("w", 3, 3, 5, 8), DY: f("y", 2, 5, 6, 8), Conv: unit}, "weights see 5 channels"},
	{"sum rows", &SumRows{X: f("x", 2, 3, 4), Y: f("y", 3, 4)}, ""},
	{"sum rows uneven", &SumRows{X: f("x", 2, 3, 4), Y: f("y", 5)}, "want a multiple of the 5 elements"},

	{"attention", &Attention{QKV: f("x", 2, 5, 24), O: f("o", 2, 5, 8), LSE: f("l", 2, 4, 5), Heads: 4}, ""},
	{"attention heads", &Attention{QKV: f("x", 2, 5, 24), O: f("o", 2, 5, 8), LSE: f("l", 2, 3, 5), Heads: 3}, "for 3 heads, want a multiple"},
	{"attention no heads", &Attention{QKV: f("x", 2, 5, 24), O: f("o", 2, 5, 8), LSE: f("l", 2, 1, 5)}, "for 0 heads"},
	{"attention gradient", &AttentionGrad{QKV: f("x", 2, 5, 24), O: f("o", 2, 5, 8), LSE: f("l", 2, 4, 5), DO: f("d", 2, 5, 8), DQKV: f("g", 2, 5, 24), Heads: 4}, ""},
	{"attention gradient LSE", &AttentionGrad{QKV: f("x", 2, 5, 24), O: f("o", 2, 5, 8), LSE: f("l", 2, 5, 4), DO: f("d", 2, 5, 8), DQKV: f("g", 2, 5, 24), Heads: 4}, "LSE is l f32[2 5 4], want f32[2 4 5]"},
	{"lstm", &LSTM{X: f("x", 2, 5, 12), W: f("w", 3, 12), H: f("h", 2, 5, 3), C: f("c", 2, 5, 3), Gates: f("g", 2, 5, 12)}, ""},
	{"lstm weights", &LSTM{X: f("x", 2, 5, 12), W: f("w", 12, 3), H: f("h", 2, 5, 3), C: f("c", 2, 5, 3), Gates: f("g", 2, 5, 12)}, "W is w f32[12 3], want f32[3 12]"},
	{"lstm gradient", &LSTMGrad{W: f("w", 3, 12), H: f("h", 2, 5, 3), C: f("c", 2, 5, 3), Gates: f("g", 2, 5, 12), DH: f("d", 2, 5, 3), DX: f("x", 2, 5, 12), DW: f("e", 3, 12)}, ""},

	{"batch norm", &BatchNorm{X: f("x", 2, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 5), Residual: f("r", 2, 5), Mean: f("m", 5), Var: f("v", 5), InvStd: f("i", 5), Eps: 1}, ""},
	{"batch norm eps", &BatchNorm{X: f("x", 2, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 5), Mean: f("m", 5), Var: f("v", 5), InvStd: f("i", 5)}, "eps 0, want it above 0"},
	{"batch norm residual", &BatchNorm{X: f("x", 2, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 5), Residual: f("r", 5), Mean: f("m", 5), Var: f("v", 5), InvStd: f("i", 5), Eps: 1}, "Residual is r"},
	{"batch norm in place", &BatchNorm{X: whole, Gamma: f("g", 24), Beta: f("b", 24), Y: whole, Mean: f("m", 24), Var: f("v", 24), InvStd: f("i", 24), Eps: 1}, "output Y (whole f32[24]) shares memory with input X"},
	{"batch norm infer in place", &BatchNormInfer{X: whole, Gamma: f("g", 24), Beta: f("b", 24), Y: whole, Mean: f("m", 24), Var: f("v", 24), Eps: 1}, ""},
	{"batch norm gradient", &BatchNormGrad{X: f("x", 2, 5), Y: f("y", 2, 5), DY: f("e", 2, 5), Gamma: f("g", 5), Mean: f("m", 5), InvStd: f("i", 5), DX: f("d", 2, 5), DGamma: f("h", 5), DBeta: f("b", 5), ReLU: true}, ""},
	{"batch norm gradient Y", &BatchNormGrad{X: f("x", 2, 5), DY: f("e", 2, 5), Gamma: f("g", 5), Mean: f("m", 5), InvStd: f("i", 5), DX: f("d", 2, 5), DGamma: f("h", 5), DBeta: f("b", 5), ReLU: true}, "Y is missing"},
	{"batch norm gradient residual", &BatchNormGrad{X: f("x", 2, 5), DY: f("e", 2, 5), Gamma: f("g", 5), Mean: f("m", 5), InvStd: f("i", 5), DX: f("d", 2, 5), DGamma: f("h", 5), DBeta: f("b", 5), AccResidual: true}, "AccResidual without"},
	{"layer norm", &LayerNorm{X: f("x", 2, 3, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 3, 5), Mean: f("m", 2, 3), InvStd: f("i", 6), Eps: 1}, ""},
	{"layer norm rows", &LayerNorm{X: f("x", 2, 3, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 3, 5), Mean: f("m", 2), InvStd: f("i", 6), Eps: 1}, "Mean is m f32[2], want 6 entries"},
	{"rms norm", &LayerNorm{X: f("x", 2, 3, 5), Gamma: f("g", 5), Y: f("y", 2, 3, 5), InvStd: f("i", 6), RMS: true, Eps: 1}, ""},
	{"rms norm with beta", &LayerNorm{X: f("x", 2, 3, 5), Gamma: f("g", 5), Beta: f("b", 5), Y: f("y", 2, 3, 5), InvStd: f("i", 6), RMS: true, Eps: 1}, "want none with RMS"},
	{"layer norm gradient", &LayerNormGrad{X: f("x", 6, 5), DY: f("y", 6, 5), Gamma: f("g", 5), Mean: f("m", 6), InvStd: f("i", 6), DX: f("d", 6, 5), DGamma: f("h", 5), DBeta: f("b", 5)}, ""},
	{"layer norm gradient beta", &LayerNormGrad{X: f("x", 6, 5), DY: f("y", 6, 5), Gamma: f("g", 5), Mean: f("m", 6), InvStd: f("i", 6), DX: f("d", 6, 5), DGamma: f("h", 5)}, "DBeta is missing"},
	{"softmax", &Softmax{X: f("x", 6, 5), Y: f("y", 6, 5)}, ""},
	{"softmax shape", &Softmax{X: f("x", 6, 5), Y: f("y", 5, 6)}, "want f32[6 5]"},
	{"softmax gradient", &SoftmaxGrad{Y: f("x", 6, 5), DY: f("y", 6, 5), DX: f("z", 6, 5)}, ""},
	{"xent", &SoftmaxXent{Logits: f("z", 6, 5), Target: i("t", 6), Loss: f("l", 6), Hit: f("h", 6), Smooth: 0.1}, ""},
	{"xent target", &SoftmaxXent{Logits: f("z", 6, 5), Target: f("t", 6), Loss: f("l", 6), Hit: f("h", 6)}, "Target is t f32[6], want i32[6]"},
	{"xent smooth", &SoftmaxXent{Logits: f("z", 6, 5), Target: i("t", 6), Loss: f("l", 6), Hit: f("h", 6), Smooth: 1}, "smooth 1, want [0, 1)"},
	{"xent outputs", &SoftmaxXent{Logits: f("z", 6, 5), Target: i("t", 6), Loss: whole.View(0, 6), Hit: whole.View(5, 6)}, "outputs Loss (whole f32[6]) and Hit (whole f32[6]) share memory"},

	{"unary in place", &Unary{X: whole, Y: whole, Fn: Tanh}, ""},
	{"unary shifted", &Unary{X: whole.View(0, 8), Y: whole.View(1, 8), Fn: Tanh}, "shares memory"},
	{"unary function", &Unary{X: f("x", 2), Y: f("y", 2), Fn: 6}, "activation 6"},
	{"unary gradient", &UnaryGrad{X: f("x", 2), DY: f("y", 2), DX: f("z", 2), Fn: SiLU, Acc: true}, ""},
	{"binary", &Binary{A: f("a", 2, 3, 4), B: f("b", 3, 4), Y: f("y", 2, 3, 4), Fn: Mul}, ""},
	{"binary broadcast", &Binary{A: f("a", 2, 3, 4), B: f("b", 2, 4), Y: f("y", 2, 3, 4)}, "want a shape that A"},
	{"binary broadcast in place", &Binary{A: f("a", 2, 24), B: whole, Y: whole.View(0, 2, 12)}, "want f32[2 24]"},
	{"binary function", &Binary{A: f("a", 4), B: f("b", 4), Y: f("y", 4), Fn: 3}, "function 3"},
	{"axpby", &Axpby{X: f("x", 2), Y: f("y", 2), Alpha: 1}, ""},
	{"axpby shape", &Axpby{X: f("x", 2), Y: f("y", 3), Alpha: 1}, "Y is y f32[3], want f32[2]"},
	{"fill", &Fill{Y: f("y", 3)}, ""},
	{"fill bytes", &Fill{Y: u("y", 3)}, "Y is y u8[3], want f32"},
	{"dropout", &Dropout{X: f("x", 2), Y: f("y", 2), P: 0.5}, ""},
	{"dropout of all", &Dropout{X: f("x", 2), Y: f("y", 2), P: 1}, "P 1, want [0, 1)"},
	{"fake quantization", &FakeQuant{X: f("x", 2, 6), Y: f("y", 2, 6), Mode: f("m", 1), Rows: 4, Bits: 8}, ""},
	{"fake quantization bits", &FakeQuant{X: f("x", 2, 6), Y: f("y", 2, 6), Mode: f("m", 1), Rows: 2, Bits: 5}, "5 bits, want 4 or 8"},
	{"fake quantization rows", &FakeQuant{X: f("x", 2, 6), Y: f("y", 2, 6), Mode: f("m", 1), Rows: 3, Bits: 8}, "3 rows of X"},
	{"fake quantization no rows", &FakeQuant{X: f("x", 2, 6), Y: f("y", 2, 6), Mode: f("m", 1), Bits: 8}, "0 rows of X"},
	{"fake quantization mode", &FakeQuant{X: f("x", 2, 6), Y: f("y", 2, 6), Mode: f("m", 2), Rows: 2, Bits: 8}, "Mode is m f32[2]"},
	{"mark", &Mark{After: []*Tensor{whole}}, ""},
	{"mark of nil", &Mark{After: []*Tensor{nil}}, "missing tensor"},

	{"transpose", &Transpose{X: f("x", 2, 3, 4), Y: f("y", 4, 2, 3), Perm: []int{2, 0, 1}}, ""},
	{"transpose twice", &Transpose{X: f("x", 2, 3, 4), Y: f("y", 4, 2, 3), Perm: []int{2, 0, 0}}, "want a permutation of the 3 axes"},
	{"transpose short", &Transpose{X: f("x", 2, 3, 4), Y: f("y", 4, 2, 3), Perm: []int{1, 0}}, "want a permutation"},
	{"transpose empty", &Transpose{X: f("x", 2, 3, 4), Y: f("y", 4, 2, 3)}, "perm is empty"},
	{"slab", &Slab{X: f("x", 2, 3, 4), Y: f("y", 2, 5, 4), Axis: 1, From: 1, To: 3, Len: 2}, ""},
	{"slab source", &Slab{X: f("x", 2, 3, 4), Y: f("y", 2, 5, 4), Axis: 1, From: 2, To: 3, Len: 2}, "X is x f32[2 3 4], want [2, 4) on axis 1"},
	{"slab target", &Slab{X: f("x", 2, 3, 4), Y: f("y", 2, 5, 4), Axis: 1, From: 1, To: -1, Len: 2}, "want [-1, 1) on axis 1"},
	{"slab axis", &Slab{X: f("x", 2, 3, 4), Y: f("y", 2, 5, 4), Axis: 3, Len: 2}, "axis 3, want 0 to 2"},
	{"slab shapes", &Slab{X: f("x", 2, 3, 4), Y: f("y", 2, 5, 5), Axis: 1, Len: 2}, "want them equal but for axis 1"},
	{"gather", &Gather{Table: f("t", 9, 4), Index: i("i", 2, 3), Y: f("y", 2, 3, 4)}, ""},
	{"gather shape", &Gather{Table: f("t", 9, 4), Index: i("i", 2, 3), Y: f("y", 6, 4)}, "want f32[2 3 4]"},
	{"gather gradient", &GatherGrad{DTable: f("t", 9, 4), Index: i("i", 2, 3), DY: f("y", 2, 3, 4), Acc: true}, ""},
	{"reduce", &Reduce{X: f("x", 2, 3, 4), Y: f("y", 2, 4), Axis: 1, Mean: true}, ""},
	{"reduce vector", &Reduce{X: f("x", 3), Y: f("y", 1)}, ""},
	{"reduce axis", &Reduce{X: f("x", 3), Y: f("y", 1), Axis: -1}, "axis -1, want 0 to 0"},
	{"expand", &Expand{X: f("x", 2, 4), Y: f("y", 2, 3, 4), Axis: 1}, ""},
	{"expand shape", &Expand{X: f("x", 2, 3), Y: f("y", 2, 3, 4), Axis: 1}, "X is x f32[2 3], want f32[2 4]"},
	{"max pool", &Pool{X: f("x", 2, 5, 5, 3), Y: f("y", 2, 3, 3, 3), Where: u("w", 2, 3, 3, 3), Max: true, Window: 3, Stride: 2, Pad: 1}, ""},
	{"average pool with positions", &Pool{X: f("x", 2, 5, 5, 3), Y: f("y", 2, 3, 3, 3), Where: u("w", 2, 3, 3, 3), Window: 3, Stride: 2, Pad: 1}, "want none for an average"},
	{"pool window", &Pool{X: f("x", 2, 40, 40, 3), Y: f("y", 2, 3, 3, 3), Window: 17, Stride: 2}, "window 17, want 1 to 16"},
	{"pool padding", &Pool{X: f("x", 2, 5, 5, 3), Y: f("y", 2, 3, 3, 3), Window: 2, Stride: 2, Pad: 2}, "less than the window"},
	{"pool gradient", &PoolGrad{DX: f("x", 2, 5, 5, 3), DY: f("y", 2, 3, 3, 3), Window: 3, Stride: 2, Pad: 1}, ""},
	{"max pool gradient", &PoolGrad{DX: f("x", 2, 5, 5, 3), DY: f("y", 2, 3, 3, 3), Max: true, Window: 3, Stride: 2, Pad: 1}, "Where is missing, want u8[2 3 3 3]"},
	{"global pool", &GlobalPool{X: f("x", 2, 5, 5, 3), Y: f("y", 2, 3)}, ""},
	{"global pool gradient", &GlobalPoolGrad{DX: f("x", 2, 5, 5, 3), DY: f("y", 2, 4)}, "DY is y f32[2 4], want f32[2 3]"},
	{"channel map", &ChannelMap{X: f("x", 2, 5, 4, 3), Y: f("y", 2, 3, 2, 5), Stride: 2, Map: []int32{-1, 2, 0, 1, -1}}, ""},
	{"channel map twice", &ChannelMap{X: f("x", 2, 5, 4, 3), Y: f("y", 2, 3, 2, 2), Stride: 2, Map: []int32{1, 1}}, "map[1] = 1 occurs twice"},
	{"channel map range", &ChannelMapGrad{DX: f("x", 2, 5, 4, 3), DY: f("y", 2, 3, 2, 1), Stride: 2, Map: []int32{3}}, "map[0] = 3, want -1 to 2"},
	{"channel map stride", &ChannelMapGrad{DX: f("x", 2, 5, 4, 3), DY: f("y", 2, 3, 2, 1), Map: []int32{0}}, "stride 0"},

	{"sgd", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), M: f("m", 3, 4), Momentum: 0.9, Blocks: blocks, Rates: f("r", 2), FirstBlock: f("f", 2)}, ""},
	{"sgd plain", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), Blocks: blocks, Rates: f("r", 2)}, ""},
	{"sgd momentum", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), M: f("m", 3, 4), Blocks: blocks, Rates: f("r", 2)}, "want none without momentum"},
	{"sgd first", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), M: f("m", 3, 4), Momentum: 0.9, Blocks: blocks, Rates: f("r", 2)}, "FirstBlock is missing"},
	{"sgd blocks", &SGD{W: f("w", 3, 5), G: f("g", 3, 5), Blocks: blocks, Rates: f("r", 2)}, "a 2×6 matrix, want the 15 elements"},
	{"sgd block", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), Blocks: Blocks{Rows: 3, Cols: 4, ColBlock: []int32{0, 1, 0, 2}, N: 2}, Rates: f("r", 2)}, "ColBlock[3] = 2, want 0 to 1"},
	{"sgd block count", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), Blocks: Blocks{Rows: 3, Cols: 4, RowBlock: []int32{0}, N: 1}, Rates: f("r", 1)}, "RowBlock has 1 entries, want 3"},
	{"sgd no blocks", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), Blocks: Blocks{Rows: 3, Cols: 4}, Rates: f("r", 1)}, "0 blocks"},
	{"sgd rates", &SGD{W: f("w", 3, 4), G: f("g", 3, 4), Blocks: blocks, Rates: f("r", 3)}, "Rates is r f32[3], want f32[2]"},
	{"adam", &Adam{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2)}, ""},
	{"adam beta", &Adam{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Beta1: 0.9, Beta2: 1, Eps: 1e-8, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2)}, "beta2 1, want [0, 1)"},
	{"avagrad", &AvaGrad{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Eps: 1, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2), Gamma: f("n", 1), Next: f("x", 2), Squares: f("s", 2, 2)}, ""},
	{"avagrad next", &AvaGrad{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Eps: 1, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2), Next: f("x", 2)}, "want none without Squares"},
	{"avagrad squares", &AvaGrad{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Eps: 1, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2), Next: f("x", 2), Squares: f("s", 2)}, "Squares is s f32[2], want f32[2 2]"},
	{"avagrad beta", &AvaGrad{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Beta1: 1, Eps: 1, Blocks: blocks, Rates: f("r", 2), Corr1: f("c", 2), Corr2: f("d", 2)}, "beta1 1, want [0, 1)"},
	{"rate squares", &RateSquares{V: f("v", 12), Corr: f("c", 2), Eps: 1, Blocks: blocks, Out: f("s", 2, 2)}, ""},
	{"rate squares eps", &RateSquares{V: f("v", 12), Corr: f("c", 2), Blocks: blocks, Out: f("s", 2, 2)}, "eps 0, want it above 0"},
	{"adabound", &AdaBound{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Max: f("x", 12), Blocks: blocks, Rates: f("r", 2), Beta1: f("b", 2), Scale: f("s", 2), Lower: f("l", 2), Upper: f("u", 2)}, ""},
	{"adabound upper", &AdaBound{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Blocks: blocks, Rates: f("r", 2), Beta1: f("b", 2), Scale: f("s", 2), Lower: f("l", 2)}, "Upper is missing"},
	{"adabound box", &AdaBound{W: f("w", 12), G: f("g", 12), M: f("m", 12), V: f("v", 12), Box: [2]float32{1, 0}, Blocks: blocks, Rates: f("r", 2), Beta1: f("b", 2), Scale: f("s", 2), Lower: f("l", 2), Upper: f("u", 2)}, "want its lower end first"},
	{"block squares", &BlockSquares{W: f("w", 12), Blocks: blocks, Out: f("o", 2)}, ""},

	{"view outside", &Fill{Y: &Tensor{Name: "v", Shape: []int{4}, Base: whole, BaseOff: 21}}, "want it inside"},
	{"memory off a boundary", &Fill{Y: &Tensor{Name: "v", Shape: []int{4}, Off: 2}}, "at byte 2, want a multiple of 4"},
	{"memory in common", &Unary{X: placed(0), Y: placed(8)}, "output Y (p f32[4]) shares memory"},
	{"memory apart", &Unary{X: placed(0), Y: placed(16)}, ""},
	{"memory in place", &Unary{X: placed(16), Y: placed(16)}, ""},
	{"no op", nil, "is no operation"},
}

var memory = buffer(make([]byte, 64))

type buffer []byte

func (b buffer) Bytes() int   { return len(b) }
func (b buffer) Host() []byte { return b }
func (b buffer) Close() error { return errors.New("static") }

func placed(off int) *Tensor {
	t := f("p", 4)
	t.Buf, t.Off = memory, off
	return t
}

func TestCheck(t *testing.T) {
	for _, c := range checks {
		err := Check(c.op)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v, want no complaint", c.name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: no complaint, want %q", c.name, c.want)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Every op without its operands is refused, never a panic.
func TestCheckMissing(t *testing.T) {
	ops := []Op{&MatMul{}, &Conv2D{}, &ConvInput{}, &ConvWeight{}, &SumRows{}, &Attention{}, &AttentionGrad{}, &LSTM{}, &LSTMGrad{},
		&BatchNorm{}, &BatchNormInfer{}, &BatchNormGrad{}, &LayerNorm{}, &LayerNormGrad{}, &Softmax{}, &SoftmaxGrad{}, &SoftmaxXent{},
		&Unary{}, &UnaryGrad{}, &Binary{}, &Axpby{}, &Fill{}, &Dropout{}, &Transpose{}, &Slab{}, &Gather{}, &GatherGrad{},
		&Pool{}, &PoolGrad{}, &GlobalPool{}, &GlobalPoolGrad{}, &Reduce{}, &Expand{}, &ChannelMap{}, &ChannelMapGrad{},
		&SGD{}, &Adam{}, &BlockSquares{}, &AvaGrad{}, &RateSquares{}, &AdaBound{}, &FakeQuant{}}
	for _, op := range ops {
		if err := Check(op); err == nil || !strings.Contains(err.Error(), "is missing") {
			t.Errorf("%T{}: %v, want a missing operand", op, err)
		}
	}
}

func TestFlops(t *testing.T) {
	for _, c := range []struct {
		name string
		op   Op
		want int64
	}{
		{"matmul", &MatMul{A: f("a", 2, 3), B: f("b", 3, 5), C: f("c", 2, 5)}, 60},
		{"matmul flattened", &MatMul{A: f("a", 2, 3, 4), B: f("b", 2, 3, 5), C: f("c", 4, 5), TransA: true}, 240},
		{"matmul batch", &MatMul{A: f("a", 7, 2, 3), B: f("b", 7, 5, 3), C: f("c", 7, 2, 5), TransB: true}, 420},
		{"conv", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), Y: f("y", 2, 5, 6, 8), Conv: unit}, 2 * 60 * 9 * 32},
		{"conv depthwise", &Conv2D{X: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 1, 4), Y: f("y", 2, 5, 6, 4), Conv: Conv{1, 1, 4}}, 2 * 60 * 9 * 4},
		{"conv input", &ConvInput{DX: f("x", 2, 5, 6, 4), W: f("w", 3, 3, 4, 8), DY: f("y", 2, 5, 6, 8), Conv: unit}, 2 * 60 * 9 * 32},
		{"conv weight", &ConvWeight{X: f("x", 2, 5, 6, 4), DW: f("w", 3, 3, 4, 8), DY: f("y", 2, 5, 6, 8), Conv: unit}, 2 * 60 * 9 * 32},
		{"attention", &Attention{QKV: f("x", 2, 5, 24), Heads: 4}, 2 * 2 * 2 * 8 * 25},
		{"attention causal", &Attention{QKV: f("x", 2, 5, 24), Heads: 4, Causal: true}, 2 * 2 * 2 * 8 * 15},
		{"attention gradient", &AttentionGrad{QKV: f("x", 2, 5, 24), Heads: 4}, 5 * 2 * 2 * 8 * 25},
		{"lstm", &LSTM{H: f("h", 2, 5, 3)}, 2 * 2 * 4 * 3 * 12},
		{"lstm gradient", &LSTMGrad{H: f("h", 2, 5, 3)}, 4 * 2 * 4 * 3 * 12},
		{"pointwise", &Unary{X: f("x", 9), Y: f("y", 9)}, 0},
	} {
		if got := Flops(c.op); got != c.want {
			t.Errorf("%s: %d operations, want %d", c.name, got, c.want)
		}
	}
}
