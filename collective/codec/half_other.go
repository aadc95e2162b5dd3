//go:build !amd64 || race

package codec

func fp16Blocks([]byte, []float32) int     { return 0 }
func fromFP16Blocks([]float32, []byte) int { return 0 }
func bf16Blocks([]byte, []float32) int     { return 0 }
func fromBF16Blocks([]float32, []byte) int { return 0 }
