// Package checkpointtest has file systems for testing what saves checkpoints:
// Memory, which on Crash forgets what was not synced, and Faulty, which
// counts operations and fails or blocks at any of them.
//
//	mem := checkpointtest.NewMemory()
//	fsys := &checkpointtest.Faulty{FS: mem, Before: checkpointtest.CrashAt(7)}
//	err := save(fsys)      // everything fails from operation 7 on
//	after := mem.Crash(1)  // one of the states the disk may be in
package checkpointtest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// Memory is a file system in memory that keeps apart what programs see and
// what is durable, as a disk with a write cache does: content of a file
// becomes durable by its Sync, entries of a folder by SyncDir. Paths are
// slash-separated; the root exists. Safe for concurrent use.
type Memory struct {
	mu   sync.Mutex
	root *node
}

// node is a folder (live is not nil) or a file.
type node struct {
	live, durable map[string]*node
	data, synced  []byte
}

func newFolder() *node { return &node{live: map[string]*node{}, durable: map[string]*node{}} }

// NewMemory returns an empty file system.
func NewMemory() *Memory { return &Memory{root: newFolder()} }

// Corrupt applies change to the content of a file, durably.
func (m *Memory) Corrupt(name string, change func([]byte) []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("corrupt", name)
	if err != nil {
		return err
	}
	n.data = change(slices.Clone(n.data))
	n.synced = n.data
	return nil
}

// Bytes returns the content of a file.
func (m *Memory) Bytes(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("read", name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func (m *Memory) find(op, name string) (*node, error) {
	n := m.root
	for part := range strings.SplitSeq(path.Clean("/"+name), "/") {
		if part == "" {
			continue
		}
		if n = n.live[part]; n == nil {
			return nil, pathError(op, name, fs.ErrNotExist)
		}
	}
	return n, nil
}

// parent returns the folder of a path and its last element.
func (m *Memory) parent(op, name string) (*node, string, error) {
	dir, base := path.Split(path.Clean("/" + name))
	n, err := m.find(op, dir)
	if err == nil && n.live == nil {
		err = pathError(op, name, fmt.Errorf("%s is no folder", dir))
	}
	return n, base, err
}

func (m *Memory) add(op, name string, n *node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(op, name)
	if err != nil {
		return err
	}
	if base == "" || dir.live[base] != nil {
		return pathError(op, name, fs.ErrExist)
	}
	dir.live[base] = n
	return nil
}

// Mkdir implements checkpoint.FS.
func (m *Memory) Mkdir(name string) error { return m.add("mkdir", name, newFolder()) }

// Create implements checkpoint.FS.
func (m *Memory) Create(name string) (checkpoint.File, error) {
	n := &node{}
	if err := m.add("create", name, n); err != nil {
		return nil, err
	}
	return &memoryFile{m, n}, nil
}

// Open implements checkpoint.FS.
func (m *Memory) Open(name string) (checkpoint.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	if err == nil && n.live != nil {
		err = pathError("open", name, fmt.Errorf("is a folder"))
	}
	if err != nil {
		return nil, err
	}
	return source(n.data), nil
}

// Names implements checkpoint.FS.
func (m *Memory) Names(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("readdir", dir)
	if err == nil && n.live == nil {
		err = pathError("readdir", dir, fmt.Errorf("is no folder"))
	}
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.live)), nil
}

// Rename implements checkpoint.FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	src, a, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	dst, b, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	if src.live[a] == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	if old := dst.live[b]; old != nil && old.live != nil {
		return pathError("rename", to, fs.ErrExist)
	}
	dst.live[b] = src.live[a]
	delete(src.live, a)
	return nil
}

// Remove implements checkpoint.FS.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.live[base]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.live) > 0 {
		return pathError("remove", name, fmt.Errorf("folder isn't empty"))
	}
	delete(dir.live, base)
	return nil
}

// SyncDir implements checkpoint.FS.
func (m *Memory) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("sync", dir)
	if err != nil {
		return err
	}
	n.durable = maps.Clone(n.live)
	return nil
}

type memoryFile struct {
	m *Memory
	n *node
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.data = append(f.n.data, p...)
	return len(p), nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.synced = f.n.data[:len(f.n.data):len(f.n.data)]
	return nil
}

func (f *memoryFile) Close() error { return nil }

// source is the content of a file when it was opened.
type source []byte

func (s source) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(s)) {
		return 0, io.EOF
	}
	n := copy(p, s[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s source) Size() int64  { return int64(len(s)) }
func (s source) Close() error { return nil }
