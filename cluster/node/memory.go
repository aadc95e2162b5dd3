package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/espalier-ml/espalier/cluster/gen"
)

// ErrDamaged is the error of a memory file that is not what Save wrote.
var ErrDamaged = errors.New("damaged")

// The file is a line with the SHA-256 of what follows, and the memory as JSON.
const (
	magic     = "espalier generations 1 "
	maxMemory = 4 << 20 // bytes; 256 links and one record stay far below
)

// Save replaces the memory file so that after a crash either the old or the
// new one is there, whole. An empty path keeps nothing.
func Save(path string, m gen.Memory) (err error) {
	if path == "" {
		return nil
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("memory of the run: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("memory of the run: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("memory of the run: %w", err)
		}
	}()
	sum := sha256.Sum256(body)
	if _, err = fmt.Fprintf(f, "%s%s\n%s", magic, hex.EncodeToString(sum[:]), body); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Load reads the memory file. One that does not exist is the memory of a new
// node; one that is damaged is ErrDamaged, with what to do.
func Load(path string) (gen.Memory, error) {
	var m gen.Memory
	if path == "" {
		return m, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("memory of the run: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMemory+1))
	if err != nil {
		return m, fmt.Errorf("memory of the run: %w", err)
	}
	if m, err = parse(b); err != nil {
		return gen.Memory{}, fmt.Errorf("memory of the run: %s: %w; a node without its memory must join under a new name: remove the file and choose another", path, err)
	}
	return m, nil
}

func parse(b []byte) (m gen.Memory, err error) {
	damaged := func(format string, args ...any) (gen.Memory, error) {
		return gen.Memory{}, fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
	}
	if len(b) > maxMemory {
		return damaged("more than %d bytes", maxMemory)
	}
	head, body, ok := bytes.Cut(b, []byte("\n"))
	sum, known := bytes.CutPrefix(head, []byte(magic))
	if !ok || !known {
		return damaged("no header")
	}
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != string(sum) {
		return damaged("checksum does not match")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return damaged("%v", err)
	}
	if err := m.Check(); err != nil {
		return damaged("%v", err)
	}
	return m, nil
}
