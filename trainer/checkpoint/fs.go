package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// FS is what the package needs of a file system. The operating system's is
// the default; checkpointtest has one in memory that forgets what was not
// synced when it "crashes", and a wrapper that fails at a chosen operation.
//
// Errors carry the path, as those of package os do, and answer to
// errors.Is(err, fs.ErrExist) and fs.ErrNotExist.
type FS interface {
	// Mkdir makes one folder; it must not exist.
	Mkdir(path string) error
	// Create makes a new file for writing; it must not exist.
	Create(path string) (File, error)
	// Open opens an existing file for reading.
	Open(path string) (Source, error)
	// Names lists a folder, sorted.
	Names(dir string) ([]string, error)
	// Rename moves a file or folder; a file at the new name is replaced.
	Rename(from, to string) error
	// Remove deletes a file or an empty folder.
	Remove(path string) error
	// SyncDir makes the entries of a folder durable.
	SyncDir(dir string) error
}

// File is a file being written. Sync makes its content durable.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// Source is a file being read.
type Source interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

type osFS struct{}

func (osFS) Mkdir(path string) error      { return os.Mkdir(path, 0o755) }
func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(path string) error     { return os.Remove(path) }

func (osFS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Open(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return osSource{f, info.Size()}, nil
}

type osSource struct {
	*os.File
	size int64
}

func (s osSource) Size() int64 { return s.size }

func (osFS) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names, err
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // a file system without the notion
	}
	return err
}

// writeFile makes a new file from what write sends, and makes it durable. On
// failure the file may be there in part.
func writeFile(fsys FS, path string, write func(io.Writer) error) (err error) {
	f, err := fsys.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10) // gathers small tensors; large ones pass through
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// ensureDir makes dir and what is missing above it, durably.
func ensureDir(fsys FS, dir string) error {
	err := fsys.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := ensureDir(fsys, parent); err != nil {
			return err
		}
		err = fsys.Mkdir(dir)
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// removeFolder deletes a folder of files.
func removeFolder(fsys FS, dir string) error {
	names, err := fsys.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := fsys.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return fsys.Remove(dir)
}

// tempMark ends the name of whatever isn't whole yet.
func tempMark() string { return fmt.Sprintf("%s%d", tempSep, os.Getpid()) }

const tempSep = ".tmp-"
