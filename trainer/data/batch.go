package data

// Ignore is the target of a row or token that takes no part in loss or
// metrics: the rows that fill up the last evaluation batch.
const Ignore = -1

// Request names the rows of one batch: N samples from Cursor on. For training
// the cursor counts over all epochs; for evaluation it is the place in the
// split.
type Request struct {
	Cursor uint64
	N      int
}

// Part is the piece of r from part lo up to part hi of equally cut parts: a
// shard, or the contiguous shards of one rank. Where N is no multiple of the
// parts the cuts fall at N*i/parts, so parts differ by at most one row and
// join without gap.
func (r Request) Part(lo, hi, parts int) Request {
	a, b := r.N*lo/parts, r.N*hi/parts
	return Request{Cursor: r.Cursor + uint64(a), N: b - a}
}

// Row is the form of one row of a batch.
type Row struct {
	Shape   []int // image: [H W C] of float32; text: [T] of token ids
	Tokens  bool  // the input is token ids
	Targets int   // targets in a row: 1 for an image, T for text
	Classes int   // targets lie in [0, Classes), or are Ignore
}

// Inputs is the number of input values in a row.
func (r Row) Inputs() int {
	n := 1
	for _, s := range r.Shape {
		n *= s
	}
	return n
}

// Batch is a reusable buffer of rows. Fill sets every field; slices are views
// of memory that the batch keeps.
type Batch struct {
	Request Request
	Epoch   int       // epoch of the first row; 0 in evaluation
	N       int       // rows
	X       []float32 // images: [N,H,W,C], normalised; nil for text
	Tokens  []int32   // text: [N,T]; nil for images
	Y       []int32   // [N] or [N,T], Ignore where there is no target
	Valid   int       // targets that are not Ignore

	row Row
}

// NewBatch makes a buffer for up to maxRows rows.
func NewBatch(row Row, maxRows int) *Batch {
	b := &Batch{row: row, Y: make([]int32, 0, maxRows*row.Targets)}
	if row.Tokens {
		b.Tokens = make([]int32, 0, maxRows*row.Inputs())
	} else {
		b.X = make([]float32, 0, maxRows*row.Inputs())
	}
	return b
}

// Cap is the largest number of rows the buffer holds.
func (b *Batch) Cap() int { return cap(b.Y) / b.row.Targets }

// Rows is the view of rows lo up to hi, for instance one shard's. It shares
// memory with b.
func (b *Batch) Rows(lo, hi int) Batch {
	v := *b
	in, out := b.row.Inputs(), b.row.Targets
	v.N = hi - lo
	v.Request = Request{Cursor: b.Request.Cursor + uint64(lo), N: v.N}
	if b.row.Tokens {
		v.Tokens = b.Tokens[lo*in : hi*in : hi*in]
	} else {
		v.X = b.X[lo*in : hi*in : hi*in]
	}
	v.Y = b.Y[lo*out : hi*out : hi*out]
	v.Valid = countValid(v.Y)
	return v
}

// Begin sizes b for a request, as the first thing that a source's Fill does.
// The contents are those of the last use.
func (b *Batch) Begin(r Request, epoch int) {
	b.Request, b.N, b.Epoch = r, r.N, epoch
	in, out := b.row.Inputs(), b.row.Targets
	if b.row.Tokens {
		b.Tokens = b.Tokens[:r.N*in]
	} else {
		b.X = b.X[:r.N*in]
	}
	b.Y = b.Y[:r.N*out]
}

func countValid(y []int32) int {
	n := 0
	for _, v := range y {
		if v != Ignore {
			n++
		}
	}
	return n
}

func fill(y []int32, v int32) {
	for i := range y {
		y[i] = v
	}
}

// Source makes batches of one split in one mode, training or evaluation. A
// Source is immutable and safe for concurrent use with different batches.
type Source interface {
	// Row is the form of a row.
	Row() Row
	// Samples counts an epoch in training, the whole split in evaluation.
	Samples() int
	// Fill writes the requested rows. The batch must come from
	// NewBatch(Row(), m) with m >= r.N; a larger request panics. The result
	// is a pure function of the source and r. An error means that the data
	// could not be read.
	Fill(b *Batch, r Request) error
}
