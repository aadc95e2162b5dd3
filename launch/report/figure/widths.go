package figure

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Widths lists the widths of Dims by name, "s1 8, s2 16". Of many Dims those
// of equal width are counted instead: "7 × 16, 6 × 32 wide".
func Widths(dims map[string]int) string {
	var parts []string
	if len(dims) <= 6 {
		for _, name := range slices.Sorted(maps.Keys(dims)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, dims[name]))
		}
		return strings.Join(parts, ", ")
	}
	number := map[int]int{}
	for _, w := range dims {
		number[w]++
	}
	for _, w := range slices.Sorted(maps.Keys(number)) {
		parts = append(parts, fmt.Sprintf("%d × %d", number[w], w))
	}
	return strings.Join(parts, ", ") + " wide"
}
