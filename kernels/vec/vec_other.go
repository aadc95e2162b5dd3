//go:build !amd64 || race

package vec

func addBlocks(dst, a, b []float32) int     { return 0 }
func share2Blocks(a, b []float32) int       { return 0 }
func share4Blocks(a, b, c, d []float32) int { return 0 }
