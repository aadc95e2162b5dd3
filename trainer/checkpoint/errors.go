package checkpoint

import "errors"

// What can be wrong with a safetensors file, on reading or before writing.
// They arrive wrapped with the tensor's name and the figures.
var (
	ErrTruncated      = errors.New("file is cut short")
	ErrHeaderTooLarge = errors.New("header exceeds 100 MB")
	ErrHeaderSyntax   = errors.New("malformed header")
	ErrBadName        = errors.New("unusable tensor name")
	ErrDuplicateName  = errors.New("duplicate name")
	ErrUnknownDType   = errors.New("unknown dtype")
	ErrShapeOverflow  = errors.New("shape is negative or overflows")
	ErrLength         = errors.New("data length differs from shape and dtype")
	ErrOffsets        = errors.New("data offsets run backwards")
	ErrOverlap        = errors.New("data overlaps")
	ErrGap            = errors.New("gap in data")
	ErrTrailing       = errors.New("bytes after the last tensor")
)

// What can be wrong with a checkpoint.
var (
	// ErrNone: the folder has no complete and verified checkpoint. If
	// damaged ones were passed over, Latest returns their errors beside it;
	// starting afresh then discards work and is the caller's decision.
	ErrNone = errors.New("no complete checkpoint")

	// ErrDamaged: a checkpoint is incomplete or its content differs from
	// its manifest. It also wraps the safetensors errors above.
	ErrDamaged = errors.New("damaged checkpoint")

	// ErrVersion: the checkpoint was written by a newer format.
	ErrVersion = errors.New("unknown checkpoint version")

	// ErrSnapshot: a state given to Begin can't be saved; the caller's mistake.
	ErrSnapshot = errors.New("state refused")

	// ErrClosed: Begin on a closed Saver.
	ErrClosed = errors.New("checkpoint: saver is closed")
)
