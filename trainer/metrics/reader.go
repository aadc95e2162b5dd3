package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadFile reads the record at path.
func ReadFile(path string) (*Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

// Read reads a record up to its end; name stands for it in errors. A last line
// without its newline that is no whole record was torn by a crash: it is left
// out and Log.Torn is set.
func Read(r io.Reader, name string) (*Log, error) {
	l := &Log{}
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("metrics: %s:%d: %w", name, n, err)
		}
		last := err != nil
		if !blank(line) {
			rec, err := Decode(line)
			switch {
			case err == nil:
				l.Add(rec)
			case last:
				l.Torn = true
			default:
				return nil, fmt.Errorf("metrics: %s:%d: %w", name, n, err)
			}
		}
		if last {
			return l, nil
		}
	}
}

// readLine returns the next line without its newline. It returns io.EOF with
// the bytes behind the last newline.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line of more than %d bytes; is this a record of a run?", maxLine)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte{'\n'}), err
	}
}
