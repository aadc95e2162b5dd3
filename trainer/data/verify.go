package data

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// State is what Verify found out about a file.
type State int

// The states of a file.
const (
	Good    State = iota // holds what it should
	Absent               // in none of the folders
	Altered              // other bytes, or no bytes that unpack
)

var stateNames = [...]string{"good", "absent", "altered"}

// String is the state as a word.
func (s State) String() string { return stateNames[s] }

// MarshalText makes the state a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// FileStatus is the result for one file.
type FileStatus struct {
	File  string `json:"file"`
	Path  string `json:"path,omitempty"` // where it was found
	State State  `json:"state"`
	// Detail says by which sum the file is good, or what is wrong.
	Detail string `json:"detail"`
}

// Verify compares the files of a data set with their known sums: first the
// packed bytes, then, where these are unknown, the unpacked ones (tens of
// seconds for CIFAR-10 in bzip2 of unknown origin). The error tells about a
// set that is not known or a cancelled context; the state of the files is no
// error.
func Verify(ctx context.Context, name, dir string) ([]FileStatus, error) {
	e, ok := catalog[name]
	if !ok {
		return nil, unknownSet(name)
	}
	if e.Embedded {
		return verifyEmbedded(name), ctx.Err()
	}
	return verifyFiles(ctx, e, Roots(dir))
}

func unknownSet(name string) error {
	return fmt.Errorf("unknown data set %q, want one of %s", name, strings.Join(Names(), ", "))
}

// verifyEmbedded reads the embedded data in full.
func verifyEmbedded(name string) []FileStatus {
	s := FileStatus{File: name, Path: "embedded in the program", Detail: "all rows read"}
	if _, err := openOptdigits(); err != nil {
		s.State, s.Detail = Altered, err.Error()
	}
	return []FileStatus{s}
}

func verifyFiles(ctx context.Context, e Entry, roots []string) ([]FileStatus, error) {
	var names []string
	for _, f := range e.Files {
		names = append(names, f.Name)
	}
	found, dirs := bestFolder(e.Name, roots, names)
	var all []FileStatus
	for i, f := range e.Files {
		s := FileStatus{File: f.Name}
		if found[i].path == "" {
			s.State, s.Detail = Absent, "not in "+strings.Join(dirs, ", ")
		} else {
			s.Path = found[i].path
			var err error
			if s.Detail, err = f.check(ctx, s.Path, found[i].ending); err != nil {
				s.State, s.Detail = Altered, err.Error()
			}
		}
		if err := ctx.Err(); err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// bestFolder is the folder that Open would read, or the one with most files.
func bestFolder(set string, roots, names []string) (best []packed, dirs []string) {
	most := -1
	for _, root := range roots {
		for _, dir := range []string{filepath.Join(root, set), root} {
			dirs = append(dirs, dir)
			if found, _, n := findIn(set, dir, names, nil); n > most {
				best, most = found, n
			}
		}
	}
	return best, dirs
}

// check compares a file, packed as ending says, with the known sums and names
// the one that fits.
func (f File) check(ctx context.Context, path, ending string) (how string, err error) {
	if len(f.Packed) > 0 && ending != "" {
		raw, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer raw.Close()
		got, _, err := digest(ctx, raw, sha256.New())
		if err != nil {
			return "", err
		}
		if slices.Contains(f.Packed, got) {
			return "sha256 of the packed file", nil
		}
	}
	r, c, err := packed{path: path, ending: ending}.open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	kind, _, _ := strings.Cut(f.Sum, ":")
	got, n, err := digest(ctx, r, newHash(f.Sum))
	switch {
	case err != nil:
		return "", fmt.Errorf("after %d unpacked bytes: %w", n, err)
	case f.Size > 0 && n != f.Size:
		return "", fmt.Errorf("%d unpacked bytes, want %d", n, f.Size)
	case kind+":"+got != f.Sum:
		return "", fmt.Errorf("unpacked bytes have %s:%s, want %s", kind, got, f.Sum)
	}
	return kind + " of the unpacked bytes", nil
}

func newHash(sum string) hash.Hash {
	if strings.HasPrefix(sum, "sha1:") {
		return sha1.New()
	}
	return sha256.New()
}

// digest reads r to its end.
func digest(ctx context.Context, r io.Reader, h hash.Hash) (sum string, n int64, err error) {
	n, err = io.Copy(h, readerWith(ctx, r))
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// readerWith makes reading end when ctx does.
func readerWith(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
