//go:build race

package collectivetest

// long is longer than any chunk that a transport may cut a buffer into; the
// race detector makes every element slow.
const long = 40003
