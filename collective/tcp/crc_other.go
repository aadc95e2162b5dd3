//go:build !amd64

package tcp

import "hash/crc32"

// extend adds bytes to a CRC-32C.
func extend(crc uint32, body []byte) uint32 { return crc32.Update(crc, castagnoli, body) }
