package checkpointtest

import (
	"errors"
	"sync/atomic"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// Op is one operation on a file system. Index counts from 0.
type Op struct {
	Index int
	Kind  string // mkdir create write sync close open read names rename remove syncdir
	Path  string
}

// Faulty passes operations on to FS after asking Before. An error of Before
// is the operation's result, and it is not done, except that a write does
// the first half. Before may block to make a slow disk; nil lets all pass. It
// is called from whichever goroutine works.
type Faulty struct {
	FS     checkpoint.FS
	Before func(Op) error

	ops atomic.Int64
}

// ErrCrashed is the result of every operation after the crash.
var ErrCrashed = errors.New("crashed")

// CrashAt makes operation n and all after it fail with ErrCrashed.
func CrashAt(n int) func(Op) error {
	return func(op Op) error {
		if op.Index >= n {
			return ErrCrashed
		}
		return nil
	}
}

// FailAt makes operation n alone fail with err.
func FailAt(n int, err error) func(Op) error {
	return func(op Op) error {
		if op.Index == n {
			return err
		}
		return nil
	}
}

// Ops is the number of operations so far.
func (f *Faulty) Ops() int { return int(f.ops.Load()) }

func (f *Faulty) before(kind, path string) error {
	index := int(f.ops.Add(1)) - 1
	if f.Before == nil {
		return nil
	}
	if err := f.Before(Op{Index: index, Kind: kind, Path: path}); err != nil {
		return pathError(kind, path, err)
	}
	return nil
}

// Mkdir implements checkpoint.FS.
func (f *Faulty) Mkdir(path string) error {
	if err := f.before("mkdir", path); err != nil {
		return err
	}
	return f.FS.Mkdir(path)
}

// Create implements checkpoint.FS.
func (f *Faulty) Create(path string) (checkpoint.File, error) {
	if err := f.before("create", path); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(path)
	return &faultyFile{file, f, path}, err
}

// Open implements checkpoint.FS.
func (f *Faulty) Open(path string) (checkpoint.Source, error) {
	if err := f.before("open", path); err != nil {
		return nil, err
	}
	src, err := f.FS.Open(path)
	return &faultySource{src, f, path}, err
}

// Names implements checkpoint.FS.
func (f *Faulty) Names(dir string) ([]string, error) {
	if err := f.before("names", dir); err != nil {
		return nil, err
	}
	return f.FS.Names(dir)
}

// Rename implements checkpoint.FS.
func (f *Faulty) Rename(from, to string) error {
	if err := f.before("rename", from); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// Remove implements checkpoint.FS.
func (f *Faulty) Remove(path string) error {
	if err := f.before("remove", path); err != nil {
		return err
	}
	return f.FS.Remove(path)
}

// SyncDir implements checkpoint.FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.before("syncdir", dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

type faultyFile struct {
	checkpoint.File
	f    *Faulty
	path string
}

func (w *faultyFile) Write(p []byte) (int, error) {
	if err := w.f.before("write", w.path); err != nil {
		n, _ := w.File.Write(p[:len(p)/2])
		return n, err
	}
	return w.File.Write(p)
}

func (w *faultyFile) Sync() error {
	if err := w.f.before("sync", w.path); err != nil {
		return err
	}
	return w.File.Sync()
}

func (w *faultyFile) Close() error {
	if err := w.f.before("close", w.path); err != nil {
		return errors.Join(err, w.File.Close())
	}
	return w.File.Close()
}

type faultySource struct {
	checkpoint.Source
	f    *Faulty
	path string
}

func (r *faultySource) ReadAt(p []byte, off int64) (int, error) {
	if err := r.f.before("read", r.path); err != nil {
		return 0, err
	}
	return r.Source.ReadAt(p, off)
}
