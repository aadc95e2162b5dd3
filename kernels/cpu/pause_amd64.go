package cpu

// pause tells the processor that the caller spins (about 0.1 to 0.3 µs).
//
//go:noescape
func pause()
