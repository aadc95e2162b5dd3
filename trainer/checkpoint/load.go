package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// Load reads the checkpoint in the folder path, which need not lie in Dir,
// and verifies every sum. It never returns a part of a state.
func (s Store) Load(path string) (State, error) {
	st, err := s.load(path, true)
	if err != nil {
		return State{}, err
	}
	return st, nil
}

// Verify does what Load does, in little memory.
func (s Store) Verify(path string) error {
	_, err := s.load(path, false)
	return err
}

// Latest returns the path of the newest complete and verified checkpoint in
// Dir. Newer ones that are damaged or can't be read are passed over; skipped
// says why, one error each, with the checkpoint's path in it. If none is left
// the error is ErrNone, with skipped telling whether there were any.
func (s Store) Latest() (path string, skipped []error, err error) {
	return s.newest(func(path string) (uint64, error) {
		st, err := s.load(path, false)
		return st.Meta.Step, err
	})
}

// LoadLatest is Latest and Load with one pass over the data.
func (s Store) LoadLatest() (st State, path string, skipped []error, err error) {
	path, skipped, err = s.newest(func(path string) (step uint64, err error) {
		st, err = s.Load(path)
		return st.Meta.Step, err
	})
	if err != nil {
		st = State{}
	}
	return st, path, skipped, err
}

// newest tries the checkpoints from the newest on until one can be read.
func (s Store) newest(read func(path string) (step uint64, err error)) (string, []error, error) {
	places, _, err := s.list()
	if err != nil {
		return "", nil, err
	}
	var skipped []error
	for _, p := range places {
		path := filepath.Join(s.Dir, p.String())
		step, err := read(path)
		if err == nil && step != p.step {
			err = fmt.Errorf("checkpoint %s: %w: its manifest is of step %d", path, ErrDamaged, step)
		}
		if err == nil {
			return path, skipped, nil
		}
		skipped = append(skipped, err)
	}
	return "", skipped, fmt.Errorf("checkpoints: %w in %s (%d damaged)", ErrNone, s.Dir, len(skipped))
}

// load reads and verifies; without keep, tensors come without data.
func (s Store) load(path string, keep bool) (State, error) {
	m, err := readManifest(s.fs(), path)
	if err != nil {
		return State{}, loadError(path, err)
	}
	st := State{Meta: m.Meta}
	for _, part := range m.Files {
		tensors, err := readPart(s.fs(), path, part, keep)
		if err != nil {
			return State{}, loadError(path, fmt.Errorf("%s: %w", part.Name, err))
		}
		st.Tensors = append(st.Tensors, tensors...)
	}
	return st, nil
}

// loadError marks as damage all that isn't a fault of the file system.
func loadError(path string, err error) error {
	var access *fs.PathError
	if errors.Is(err, ErrVersion) || errors.As(err, &access) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return fmt.Errorf("checkpoint %s: %w: %w", path, ErrDamaged, err)
}

// readPart returns the tensors of one file in the order of the manifest.
func readPart(fsys FS, folder string, part Part, keep bool) ([]Tensor, error) {
	src, err := fsys.Open(filepath.Join(folder, part.Name))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if src.Size() != part.Bytes {
		return nil, fmt.Errorf("%d bytes, the manifest says %d", src.Size(), part.Bytes)
	}
	h, head, err := readHead(src, src.Size())
	if err != nil {
		return nil, err
	}
	if Sum(sha256.Sum256(head)) != part.Head {
		return nil, errors.New("sha-256 of the header differs from the manifest's")
	}
	entries, err := matchEntries(part.Tensors, h.Entries)
	if err != nil {
		return nil, err
	}
	tensors := make([]Tensor, len(entries))
	err = parallel(len(entries), func(i int) error {
		r, e := part.Tensors[i], entries[i]
		data, sum, err := readSum(src, h.Start+e.Begin, e.End-e.Begin, keep)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", r.Name, err)
		}
		if sum != r.Sum {
			return fmt.Errorf("tensor %q: sha-256 of the data differs from the manifest's", r.Name)
		}
		tensors[i] = Tensor{Name: r.Name, DType: r.DType, Shape: r.Shape, Data: data}
		return nil
	})
	return tensors, err
}

// matchEntries finds the place of each record; both must list the same.
func matchEntries(records []Record, entries []Entry) ([]Entry, error) {
	byName := make(map[string]Entry, len(entries))
	for _, e := range entries {
		byName[e.Name] = e
	}
	if len(records) != len(entries) {
		return nil, fmt.Errorf("%d tensors, the manifest lists %d", len(entries), len(records))
	}
	out := make([]Entry, len(records))
	for i, r := range records {
		e, ok := byName[r.Name]
		if !ok || e.DType != r.DType || !slices.Equal(e.Shape, r.Shape) {
			return nil, fmt.Errorf("tensor %q: not the %s%v that the manifest lists", r.Name, r.DType, r.Shape)
		}
		out[i] = e
	}
	return out, nil
}

// readSum reads n bytes from off piece by piece and returns their sum, and
// the bytes if they are to be kept.
func readSum(r io.ReaderAt, off, n int64, keep bool) ([]byte, Sum, error) {
	const piece = 1 << 20
	hash := sha256.New()
	room := min(n, piece)
	if keep {
		room = n
	}
	buf := make([]byte, room)
	for at := int64(0); at < n; {
		p := buf[:min(piece, n-at)]
		if keep {
			p = buf[at:min(at+piece, n)]
		}
		if err := readFull(r, p, off+at); err != nil {
			return nil, Sum{}, err
		}
		hash.Write(p)
		at += int64(len(p))
	}
	if !keep {
		buf = nil
	}
	return buf, Sum(hash.Sum(nil)), nil
}
