//go:build !race

package collectivetest

// long is longer than any chunk that a transport may cut a buffer into.
const long = 1000003
