package lowbit

import "fmt"

// Tokens are rows of quantized activations: of a linear map one a sample, of a
// convolution one a pixel of its output.
type Tokens struct {
	N, Stride int
	Codes     []int8    // [N][Stride], zero behind the end of a row
	Sums      []int32   // [N] sums of a row's codes, see Sum
	Delta     []float32 // [N] steps
}

// NewTokens returns memory for n rows of up to stride codes.
func NewTokens(n, stride int) *Tokens {
	return &Tokens{N: n, Stride: stride, Codes: make([]int8, n*stride), Sums: make([]int32, n), Delta: make([]float32, n)}
}

// Row is the memory of a row.
func (t *Tokens) Row(i int) []int8 { return t.Codes[i*t.Stride:][:t.Stride] }

// Sum brings Sums of the rows [lo, hi) up to date. Dots needs them.
func (t *Tokens) Sum(lo, hi int) {
	for i := lo; i < hi; i++ {
		t.Sums[i] = sumCodes(t.Row(i))
	}
}

// Matrix is a packed matrix of n rows of k weights of one precision. It is
// read-only and may be used by several goroutines.
type Matrix struct {
	Bits, N, K int
	data       []byte // see Pack
	lookup     []byte // see PackTables; nil above 1 bit
	tile       int    // rows that are looked up together
	RowSums    []int32
}

// NewMatrix packs u [n][k]; activations will have actBits. At 8 bits u holds
// signed codes, of which -128 is not used.
func NewMatrix(bits, n, k, actBits int, u []byte) (*Matrix, error) {
	return OpenMatrix(bits, n, k, actBits, Pack(bits, n, k, u))
}

// OpenMatrix takes packed bytes, for instance of a file, and keeps them.
func OpenMatrix(bits, n, k, actBits int, packed []byte) (*Matrix, error) {
	if n < 1 || k < 1 || n > maxSide || k > maxSide {
		return nil, fmt.Errorf("lowbit: a matrix of %d×%d: want 1 to %d", n, k, maxSide)
	}
	if actBits != 8 && actBits != 4 {
		return nil, fmt.Errorf("lowbit: activations of %d bits: want 8 or 4", actBits)
	}
	u, err := Unpack(bits, n, k, packed)
	if err != nil {
		return nil, err
	}
	m := &Matrix{Bits: bits, N: n, K: k, data: packed, RowSums: make([]int32, n)}
	for i, c := range u {
		if bits == 8 {
			if c == 0x80 {
				return nil, fmt.Errorf("lowbit: code -128 at row %d, column %d: want -127 to 127", i/k, i%k)
			}
			m.RowSums[i/k] += int32(int8(c))
		} else {
			m.RowSums[i/k] += int32(Odd(bits, c))
		}
	}
	if bits == 1 {
		m.tile = lutRows
		if actBits == 8 {
			m.tile = lutRows / 2
		}
		m.lookup = PackTables(bits, n, k, m.tile, u)
	}
	return m, nil
}

// maxSide bounds rows and columns: sums of 2^17 products of 15·128 fit int32.
const maxSide = 1 << 17

// Packed are the bytes of the matrix, see Pack. They must not be changed.
func (m *Matrix) Packed() []byte { return m.data }

// Codes unpacks the matrix: [n][k].
func (m *Matrix) Codes() []byte {
	u, err := Unpack(m.Bits, m.N, m.K, m.data)
	if err != nil {
		panic(err) // it was checked when the matrix was made
	}
	return u
}

// Stride is the length that a token's row must at least have.
func (m *Matrix) Stride() int { return max(Padded(m.Bits, m.K), Padded(8, m.K)) }

// Bytes is what a product reads of the matrix.
func (m *Matrix) Bytes() int {
	if m.lookup != nil {
		return len(m.lookup)
	}
	return len(m.data)
}

// Unit is the number of rows that are computed together; parts of a product
// begin at multiples of it.
func (m *Matrix) Unit() int {
	if m.lookup != nil {
		return m.tile
	}
	return tileRows
}

// Dots computes rows [lo, hi) for the tokens [first, end): dst [end-first][N]
// gets Σ o·a, at 8 bits Σ q·a. lo is a multiple of Unit, hi too or N.
func (m *Matrix) Dots(dst []int32, t *Tokens, first, end, lo, hi int, s *Space) {
	switch {
	case m.lookup == nil:
		m.multiply(dst, t, first, end, lo, hi, s)
	case m.tile == lutRows:
		m.lookUp(dst, t, first, end, lo, hi, s)
	default:
		m.lookUpHalves(dst, t, first, end, lo, hi, s)
	}
}

// DotsPortable is Dots in plain loops over codes: the oracle of the others.
func (m *Matrix) DotsPortable(dst []int32, t *Tokens, first, end int) {
	u := m.Codes()
	for i := first; i < end; i++ {
		a := t.Row(i)
		for r := range m.N {
			sum := int32(0)
			for k, c := range u[r*m.K:][:m.K] {
				w := int32(int8(c))
				if m.Bits < 8 {
					w = int32(Odd(m.Bits, c))
				}
				sum += w * int32(a[k])
			}
			dst[(i-first)*m.N+r] = sum
		}
	}
}

// Space is memory that Dots works in; it belongs to one goroutine.
type Space struct {
	tables []byte
	sums   [lutRows]uint16
	total  [lutRows]int32
	tile   [2 * tileRows]int32
}
