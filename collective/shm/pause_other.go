//go:build !amd64

package shm

func pause(n uint32) {
	for range n {
	}
}
