package data

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrMissing is what errors.Is finds when files of a data set are nowhere in
// the folders searched.
var ErrMissing = errors.New("data files missing")

// MissingError names the file that was not found and where it was looked for.
type MissingError struct {
	Set      string   // data set
	File     string   // first file missing, without the ending of its packing
	Searched []string // folders
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: no file %s (plain, .gz or .bz2) in %s; fetch it with `espalier data get %s`, or name the folder that holds the data with --data or %s",
		e.Set, e.File, strings.Join(e.Searched, ", "), e.Set, EnvData)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// Environment variables that this package reads.
const (
	EnvData  = "ESPALIER_DATA"  // folder of data sets
	EnvCache = "ESPALIER_CACHE" // folder for what can be made again
)

// CacheDir is the folder for downloads and unpacked data: $ESPALIER_CACHE, or
// espalier in the user's cache folder. It need not exist.
func CacheDir() (string, error) {
	if d := os.Getenv(EnvCache); d != "" {
		return d, nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder (set %s): %w", EnvCache, err)
	}
	return filepath.Join(d, "espalier"), nil
}

// Roots are the folders in which data sets are looked for, each set in a
// folder of its own name. dir, when not empty, is the only one; then
// $ESPALIER_DATA; else ../shared/data, ./data and the folder for downloads.
func Roots(dir string) []string {
	if dir != "" {
		return []string{dir}
	}
	if d := os.Getenv(EnvData); d != "" {
		return []string{d}
	}
	roots := []string{filepath.Join("..", "shared", "data"), "data"}
	if c, err := CacheDir(); err == nil {
		roots = append(roots, filepath.Join(c, "data"))
	}
	return roots
}

// packed is a file of a data set as it was found.
type packed struct {
	set    string
	path   string
	ending string // ".gz", ".bz2" or ""
	info   fs.FileInfo
}

func (p packed) base() string { return p.set + ": " + filepath.Base(p.path) }

// endings of the forms a file may have, in the order they are tried.
var endings = []string{"", ".gz", ".bz2"}

// find looks for all files of a set in one folder: root/set, or root itself
// when the caller named the set's own folder. The optional files may be
// missing; their entry has no path.
func find(set string, roots, files []string, optional ...string) ([]packed, error) {
	miss := &MissingError{Set: set}
	best := -1
	for _, root := range roots {
		for _, dir := range []string{filepath.Join(root, set), root} {
			miss.Searched = append(miss.Searched, dir)
			found, first, n := findIn(set, dir, files, optional)
			if first == "" {
				return found, nil
			}
			if n > best {
				best, miss.File = n, first
			}
		}
	}
	return nil, miss
}

// findIn reports the first required file that a folder lacks, and how many
// files it has.
func findIn(set, dir string, files, optional []string) (found []packed, first string, n int) {
	for _, f := range files {
		p := packed{set: set}
		for _, e := range endings {
			path := filepath.Join(dir, f+e)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				p.path, p.ending, p.info = path, e, info
				n++
				break
			}
		}
		if p.path == "" && first == "" && !slices.Contains(optional, f) {
			first = f
		}
		found = append(found, p)
	}
	return found, first, n
}

// open yields the unpacked bytes.
func (p packed) open() (io.Reader, io.Closer, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(f, 1<<17)
	switch p.ending {
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return z, f, nil
	case ".bz2":
		return bzip2.NewReader(r), f, nil
	}
	return r, f, nil
}

// readPacked unpacks p through read; errors name set and file.
func readPacked(p packed, read func(io.Reader) ([]byte, error)) ([]byte, error) {
	r, c, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.base(), err)
	}
	defer c.Close()
	b, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.base(), err)
	}
	return b, nil
}

// maxText bounds the text that is read into memory.
const maxText = 1 << 30

// readText unpacks a whole text of at most limit bytes.
func readText(p packed, limit int) (string, error) {
	b, err := readPacked(p, func(r io.Reader) ([]byte, error) {
		b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
		if err != nil {
			return nil, fmt.Errorf("after %d bytes: %w", len(b), err)
		}
		if len(b) > limit {
			return nil, fmt.Errorf("more than %d bytes of text", limit)
		}
		return b, nil
	})
	return string(b), err
}
