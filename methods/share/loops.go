package share

import (
	"fmt"
	"slices"
	"strings"
)

// Loop is a body that runs Count times in a row.
type Loop[T comparable] struct {
	Body  []T
	Count int
}

// Loops writes a sequence of layers, or of blocks of them, as loops: from left
// to right, at each place the period and count that cover the most items, the
// shortest period on ties; what does not repeat runs once.
func Loops[T comparable](seq []T) (loops []Loop[T]) {
	for at := 0; at < len(seq); {
		period, count := 1, 1
		for p := 1; 2*p <= len(seq)-at; p++ {
			c := 1
			for at+(c+1)*p <= len(seq) && slices.Equal(seq[at:at+p], seq[at+c*p:at+(c+1)*p]) {
				c++
			}
			if c >= 2 && (count == 1 || c*p > count*period) {
				period, count = p, c
			}
		}
		loops = append(loops, Loop[T]{slices.Clone(seq[at : at+period]), count})
		at += period * count
	}
	return loops
}

// Blocks pairs the clusters of a residual group's layers, two a block, so that
// a loop's body is a block.
func Blocks(cluster []int) (pairs [][2]int) {
	for i := 0; i+1 < len(cluster); i += 2 {
		pairs = append(pairs, [2]int{cluster[i], cluster[i+1]})
	}
	return pairs
}

// Text writes loops as "3x(0 1) 2".
func Text[T comparable](loops []Loop[T]) string {
	var parts []string
	for _, l := range loops {
		body := make([]string, len(l.Body))
		for i, b := range l.Body {
			body[i] = fmt.Sprint(b)
		}
		s := strings.Join(body, " ")
		if l.Count > 1 {
			s = fmt.Sprintf("%dx(%s)", l.Count, s)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}
