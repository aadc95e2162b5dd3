//go:build !amd64

package lowbit

func setFast(bool) {}
