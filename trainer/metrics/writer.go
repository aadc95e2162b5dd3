package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxLine bounds a line, so that a file of garbage costs little memory.
const maxLine = 1 << 20

// Writer appends records to a file. Its methods may be called from several
// goroutines at once.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	end  int64  // offset behind the last complete line
	line []byte // reused
	err  error  // why the file can no longer be trusted
}

// Open opens the record at path for appending and creates it where it does
// not exist. A tail torn by a crash is cut off.
func Open(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	end, err := mend(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("metrics: %s: mend the last line: %w", path, err)
	}
	return &Writer{file: f, end: end}, nil
}

// Write appends one record and hands it to the operating system before it
// returns. A record that cannot be encoded leaves the file as it was. A failed
// write (disk full) is taken back as a whole.
func (w *Writer) Write(r Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("metrics: %s record of step %d: %w", r.Kind(), r.At(), err)
	}
	line, err := Append(w.line[:0], r)
	w.line = line
	if err != nil {
		return err
	}
	if len(line) >= maxLine {
		return fmt.Errorf("metrics: %s record of step %d: %d bytes, want less than %d", r.Kind(), r.At(), len(line), maxLine)
	}
	return w.append(append(line, '\n'))
}

func (w *Writer) append(line []byte) error {
	w.line = line
	if _, err := w.file.WriteAt(line, w.end); err != nil {
		if undo := w.file.Truncate(w.end); undo != nil {
			w.err = fmt.Errorf("metrics: %s: half a line could not be taken back: %w", w.file.Name(), undo)
		}
		return fmt.Errorf("metrics: %w", err)
	}
	w.end += int64(len(line))
	return nil
}

// Sync asks the operating system to put the file on the disk, for a caller
// that wants records to survive a power cut (beside a checkpoint, say).
func (w *Writer) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Close closes the file. Writing afterwards is an error.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, os.ErrClosed) {
		return nil
	}
	w.err = fmt.Errorf("metrics: %s: %w", w.file.Name(), os.ErrClosed)
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// mend makes f end behind a complete line and returns its size. A last line
// without its newline is completed if it is a whole record, and cut off if not.
func mend(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	start, err := lastLine(f, info.Size())
	if err != nil || start == info.Size() {
		return start, err
	}
	tail := make([]byte, min(info.Size()-start, maxLine))
	if _, err := f.ReadAt(tail, start); err != nil {
		return 0, err
	}
	if _, err := Decode(tail); err != nil {
		return start, f.Truncate(start)
	}
	_, err = f.WriteAt([]byte{'\n'}, info.Size())
	return info.Size() + 1, err
}

// lastLine returns the offset behind the last newline of the first size bytes.
func lastLine(f io.ReaderAt, size int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(chunk)))
		part := chunk[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}
