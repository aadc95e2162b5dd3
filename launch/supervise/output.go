package supervise

import (
	"bytes"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Sink is a destination that several workers write to.
type Sink struct {
	mu sync.Mutex
	w  io.Writer
}

// NewSink makes w safe for several workers.
func NewSink(w io.Writer) *Sink { return &Sink{w: w} }

func (s *Sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// maxLine is where a line without an end is cut.
const maxLine = 64 << 10

// lines writes whole lines with a prefix. It never fails: a worker must not
// die of a parent's closed pipe.
type lines struct {
	to     io.Writer
	prefix string
	part   []byte // of a line
}

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 && len(l.part) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(l.part) - 1
		}
		l.emit(l.part[:i+1])
		l.part = append(l.part[:0], l.part[i+1:]...)
	}
}

// flush writes what came without an end of line.
func (l *lines) flush() {
	if len(l.part) > 0 {
		l.emit(append(l.part, '\n'))
		l.part = nil
	}
}

func (l *lines) emit(line []byte) { l.to.Write(append([]byte(l.prefix), line...)) }

// tail remembers the last lines that pass through it.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	last []byte
}

const (
	tailLines = 20
	tailBytes = 8 << 10
)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.last = append(t.last, p...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	t.mu.Unlock()
	t.to.Write(p)
	return len(p), nil
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.last)
	if len(text) == 0 {
		return nil
	}
	all := bytes.Split(text, []byte("\n"))
	var out []string
	for _, line := range all[max(0, len(all)-tailLines):] {
		out = append(out, string(line))
	}
	return out
}

// raw passes bytes on and never fails.
type raw struct{ to io.Writer }

func (r raw) Write(p []byte) (int, error) {
	r.to.Write(p)
	return len(p), nil
}

// terminal is the terminal behind w, nil if it is none.
func terminal(w io.Writer) *os.File {
	if s, ok := w.(*Sink); ok {
		w = s.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return f
}
