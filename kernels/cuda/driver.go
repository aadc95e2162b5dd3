package cuda

// Driver is what the backend needs of a GPU: memory, copies and launches on one
// stream. A driver is used by one goroutine at a time but for Alloc and Free,
// which any goroutine may call. Errors name the call and its reason; an error
// of an asynchronous launch may be returned by a later call.
type Driver interface {
	// Name says what computes, for instance the GPU's name.
	Name() string
	// Alloc returns zeroed device memory, aligned to 256 bytes, and the same
	// memory as the host sees it, nil where it cannot.
	Alloc(bytes int) (address uint64, host []byte, err error)
	Free(address uint64) error
	// ToDevice and FromDevice copy after all launches so far.
	ToDevice(address uint64, from []byte) error
	FromDevice(to []byte, address uint64) error
	Launch(l *Launch) error
	// Synchronize waits until all launches have ended.
	Synchronize() error
	Close() error
}

// Launch is one run of a kernel.
type Launch struct {
	Kernel      string
	Grid, Block [3]int
	Shared      int // bytes of dynamic shared memory
	Args        []Arg
}

// Arg is an argument of a kernel: its bytes, low first, and their number.
type Arg struct {
	Bits uint64
	Size int
}
