// Package progress shows a run while it trains, from the stream of records
// that also makes up metrics.jsonl.
//
// On a terminal it keeps one block up to date: job and stage, epoch and step
// with a bar and the time left, loss, accuracy, learning rate and throughput,
// the last evaluation, widths, parameters and workers, and the last events.
// Log lines written to the Progress scroll above the block. Elsewhere (a file,
// a pipe, TERM=dumb) it writes plain lines: training at most every few
// seconds, each evaluation and each event.
//
// Promises: what is shown is a pure function of the records ([Block],
// [State.Line]); a frame is a single write, so it does not flicker, and fits
// the terminal; no goroutine, no waiting; a failing output never disturbs
// training. All methods of Progress may be called from several goroutines.
//
// Left to others: making records (trainer), storing them (trainer/metrics) and
// the result table at the end (launch/report).
//
//	p := progress.New(os.Stderr, progress.Options{})
//	defer p.Close()
//	logger := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(p), zap.InfoLevel))
//	for r := range records {
//		p.Handle(r)
//	}
package progress

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Options are the seams of a Progress. The zero value is right for a command.
type Options struct {
	// Every is the least time between plain lines of training; 0 means 5 s.
	Every time.Duration
	// Frame is the least time between two frames on a terminal; 0 means 100 ms.
	Frame time.Duration
	// Plain writes plain lines on a terminal too.
	Plain bool
	// Size returns columns and rows of the terminal. nil means to ask the
	// output, and to write plain lines if that is no terminal.
	Size func() (columns, rows int)
	// Clock is the time; nil means time.Now.
	Clock func() time.Time
	// Colour, if not nil, overrides the environment variable NO_COLOR.
	Colour *bool
}

// Progress shows a run. Make one with New.
type Progress struct {
	opts   Options
	live   bool
	colour bool

	mu     sync.Mutex // guards what follows
	out    io.Writer
	state  State
	drawn  []int     // columns of the lines of the block on the screen
	shown  time.Time // when training was shown last
	log    []byte    // a log line that has no end yet
	closed bool
}

// New returns a Progress that writes to out.
func New(out io.Writer, o Options) *Progress {
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Frame <= 0 {
		o.Frame = 100 * time.Millisecond
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Size == nil {
		o.Size = sizeOf(out)
	}
	p := &Progress{opts: o, out: out, live: o.Size != nil && !o.Plain, colour: os.Getenv("NO_COLOR") == ""}
	if o.Colour != nil {
		p.colour = *o.Colour
	}
	return p
}

// sizeOf returns how to ask for the size of the terminal that out is, nil if
// it is none.
func sizeOf(out io.Writer) func() (int, int) {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			return 80, 24
		}
		return columns, rows
	}
}

// Recall takes in what a resumed run did before, without showing it.
func (p *Progress) Recall(l *metrics.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.recall(l)
}

// Handle takes in a record and shows it when it is time. It keeps no
// reference to r.
func (p *Progress) Handle(r metrics.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.state.Add(r)
	wait := p.opts.Every
	if p.live {
		wait = p.opts.Frame
	}
	now := p.opts.Clock()
	if r.Kind() == metrics.KindTrain && now.Sub(p.shown) < wait {
		return
	}
	if p.live || r.Kind() == metrics.KindTrain {
		p.shown = now
	}
	if p.live {
		p.frame(nil)
		return
	}
	if line := p.state.Line(r); line != "" {
		p.write([]byte(line + "\n"))
	}
}

// Write shows log lines: above the block on a terminal, as they are elsewhere.
// A line is held back until its end arrives. It never fails.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live || p.closed {
		p.write(b)
		return len(b), nil
	}
	p.log = append(p.log, b...)
	if end := bytes.LastIndexByte(p.log, '\n') + 1; end > 0 {
		p.frame(p.log[:end])
		p.log = append(p.log[:0], p.log[end:]...)
	}
	return len(b), nil
}

// Close shows the last state and leaves it on the screen. Records that come
// later are ignored, log lines go through. Close does not close the output.
func (p *Progress) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	if p.live {
		if len(p.log) > 0 {
			p.log = append(p.log, '\n')
		}
		p.frame(p.log)
		p.log = nil
	}
	return nil
}

// frame writes log lines and the block below them, over the block before, in
// one write.
func (p *Progress) frame(log []byte) {
	columns, rows := p.opts.Size()
	lines := Block(&p.state, columns-1)
	if most := max(1, rows-1); len(lines) > most {
		lines = lines[:most]
	}
	p.write(frame(p.drawn, columns, log, lines, p.colour))
	p.drawn = p.drawn[:0]
	for _, l := range lines {
		p.drawn = append(p.drawn, l.columns())
	}
}

// write ignores errors: a closed pipe is no reason to stop training.
func (p *Progress) write(b []byte) { _, _ = p.out.Write(b) }
