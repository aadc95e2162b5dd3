package progress

import (
	"bytes"
	"strconv"
)

// Control sequences of ECMA-48 terminals. Terminals that do not know
// synchronized output ignore it.
const (
	syncBegin  = "\x1b[?2026h"
	syncEnd    = "\x1b[?2026l"
	clearBelow = "\x1b[J"
	clearRight = "\x1b[K"
	reset      = "\x1b[0m"
)

// frame returns the bytes that replace a block, of whose lines drawn holds the
// columns, by log lines and a new block. Lines are overwritten in place and
// only their rest is cleared, so that nothing flickers. If the terminal became
// narrower, old lines take several rows now.
func frame(drawn []int, columns int, log []byte, block []Line, colour bool) []byte {
	var b bytes.Buffer
	b.WriteString(syncBegin)
	rows := 0
	for _, n := range drawn {
		rows += max(1, (n+columns-1)/max(columns, 1))
	}
	b.WriteByte('\r')
	if rows > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(rows) + "A")
	}
	if rows > len(drawn) {
		b.WriteString(clearBelow)
	}
	for line := range bytes.Lines(log) {
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteString(clearRight + "\r\n")
	}
	for _, l := range block {
		l.write(&b, colour)
		b.WriteString(clearRight + "\r\n")
	}
	b.WriteString(clearBelow + syncEnd)
	return b.Bytes()
}
