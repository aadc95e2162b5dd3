package progress

import (
	"bytes"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// style is how a span looks: the parameter of an SGR sequence.
type style string

const (
	plain  style = ""
	strong style = "1"
	faint  style = "2"
	green  style = "32"
	yellow style = "33"
)

// span is text of one style.
type span struct {
	text string
	look style
}

// Line is a line of the block.
type Line []span

// String is the line without its styles.
func (l Line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

// columns is the number of terminal columns that the line takes.
func (l Line) columns() int { return columns(l.String()) }

func (l Line) write(b *bytes.Buffer, colour bool) {
	for _, s := range l {
		if !colour || s.look == plain {
			b.WriteString(s.text)
			continue
		}
		b.WriteString("\x1b[" + string(s.look) + "m" + s.text + reset)
	}
}

// cut shortens the line to n columns.
func (l Line) cut(n int) Line {
	var out Line
	for _, s := range l {
		w := columns(s.text)
		if w > n {
			s.text = shorten(s.text, n)
			return append(out, s)
		}
		out, n = append(out, s), n-w
	}
	return out
}

// columns counts terminal columns: two for wide East Asian letters, none for
// marks that combine with the letter before.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// shorten cuts s to n columns, with an ellipsis where something is missing.
func shorten(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		w := runeColumns(r)
		if w > n-1 {
			break
		}
		b.WriteRune(r)
		n -= w
	}
	if n > 0 {
		b.WriteRune('…')
	}
	return b.String()
}

// clean makes a text from outside safe to print: one line, no control
// characters that would move the cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}
