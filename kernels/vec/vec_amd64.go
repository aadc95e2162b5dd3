//go:build amd64 && !race

package vec

import "golang.org/x/sys/cpu"

var hasAVX = cpu.X86.HasAVX

// The assembly takes n elements, a multiple of 8, n > 0.

//go:noescape
func addAVX(dst, a, b *float32, n int)

//go:noescape
func share2AVX(a, b *float32, n int)

//go:noescape
func share4AVX(a, b, c, d *float32, n int)

// The blocks functions do what the assembly can and return how much it was.

func addBlocks(dst, a, b []float32) int {
	n := blocks(len(dst))
	if n > 0 {
		addAVX(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func share2Blocks(a, b []float32) int {
	n := blocks(len(a))
	if n > 0 {
		share2AVX(&a[0], &b[0], n)
	}
	return n
}

func share4Blocks(a, b, c, d []float32) int {
	n := blocks(len(a))
	if n > 0 {
		share4AVX(&a[0], &b[0], &c[0], &d[0], n)
	}
	return n
}

func blocks(n int) int {
	if !hasAVX {
		return 0
	}
	return n &^ 7
}
