package shm

// pause passes some time without disturbing the other hardware thread.
//
//go:noescape
func pause(n uint32)
