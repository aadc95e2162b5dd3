//go:build !amd64

package tcp

import "hash/crc32"

// checksum is the CRC-32C of a body.
func checksum(body []byte) uint32 { return crc32.Update(0, castagnoli, body) }
