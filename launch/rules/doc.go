// Package rules holds no code: its tests keep the shape of the tree. They say
// which folder may import which, where cgo and unsafe may be used, what stands
// at the top, and that every package explains itself.
package rules
