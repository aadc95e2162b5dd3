package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
)

// A cache file holds one split ready for use: a header, the labels, the pixels
// as NHWC. Its name is set-split.images; a new version replaces it by rename,
// so a mapped old one stays whole.
//
//	bytes  0..7    magic
//	       8..39   identity: SHA-256 of version, files, sizes and times
//	      40..63   N, H, W, C, Classes, Max as little-endian 32-bit numbers
//	      64..67   CRC-32C of labels and pixels
//	      68..71   CRC-32C of bytes 0..67
const (
	cacheMagic   = "EspImg01"
	cacheHeader  = 72
	lockPatience = 3 * time.Minute // for another process that is unpacking
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unpackOnce takes a split from the cache, or reads it with f and leaves it
// there. A cache that cannot be used costs time, never the run.
func unpackOnce(o Opener, f imageForm, name string, files []packed, test bool) (*Images, error) {
	dir := o.Cache
	if dir == "" {
		root, err := CacheDir()
		if err != nil {
			o.Log.Debug("no cache", zap.String("set", name), zap.Error(err))
			return f.read(name, files, test)
		}
		dir = filepath.Join(root, "unpacked")
	}
	path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".images")
	id := identity(name, files)
	if im, err := mapCached(path, id, f.shape(name, test)); err == nil {
		return im, nil
	} else if !os.IsNotExist(err) {
		o.Log.Debug("cache not usable", zap.String("set", name), zap.Error(err))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		o.Log.Debug("no cache", zap.String("set", name), zap.Error(err))
		return f.read(name, files, test)
	}
	unlock := lock(path+".lock", lockPatience)
	defer unlock()
	if im, err := mapCached(path, id, f.shape(name, test)); err == nil {
		return im, nil // another process unpacked it while we waited
	}
	start := time.Now()
	o.Log.Info("unpacking", zap.String("set", name), zap.String("cache", path))
	im, err := f.read(name, files, test)
	if err != nil {
		return nil, err
	}
	o.Log.Info("unpacked", zap.String("set", name), zap.Duration("took", time.Since(start)))
	if err := writeCached(path, id, im); err != nil {
		o.Log.Warn("cache not written", zap.String("set", name), zap.Error(err))
		return im, nil
	}
	if m, err := mapCached(path, id, f.shape(name, test)); err == nil {
		return m, nil // lets the heap copy go
	}
	return im, nil
}

// identity says which files a cache entry was made of, without reading them.
func identity(name string, files []packed) [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", cacheMagic, name)
	for _, p := range files {
		path, err := filepath.Abs(p.path)
		if err != nil {
			path = p.path
		}
		fmt.Fprintf(h, "%s %d %d\n", path, p.info.Size(), p.info.ModTime().UnixNano())
	}
	return [32]byte(h.Sum(nil))
}

func header(id [32]byte, im *Images, sum uint32) []byte {
	h := append([]byte(cacheMagic), id[:]...)
	for _, v := range []int{im.N, im.H, im.W, im.C, im.Classes, im.Max} {
		h = binary.LittleEndian.AppendUint32(h, uint32(v))
	}
	h = binary.LittleEndian.AppendUint32(h, sum)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// mapCached maps a cache file and checks all of it; im tells what to expect
// and receives labels and pixels.
func mapCached(path string, id [32]byte, im *Images) (*Images, error) {
	b, err := mapFile(path, cacheHeader+im.N+im.N*im.H*im.W*im.C)
	if err != nil {
		return nil, err
	}
	if err := checkCached(b, id, im); err != nil {
		unmapFile(b)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	im.Label, im.Pix = b[cacheHeader:cacheHeader+im.N:cacheHeader+im.N], b[cacheHeader+im.N:]
	return im, nil
}

func checkCached(b []byte, id [32]byte, im *Images) error {
	head, body := b[:cacheHeader], b[cacheHeader:]
	sum := binary.LittleEndian.Uint32(head[64:])
	want := header(id, im, sum)
	if !bytes.Equal(head[:40], want[:40]) {
		return errors.New("made of other files")
	}
	if !bytes.Equal(head, want) {
		return errors.New("header altered")
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return errors.New("contents altered")
	}
	return checkLabels("labels", body[:im.N], im.Classes)
}

// writeCached replaces a cache file atomically.
func writeCached(path string, id [32]byte, im *Images) error {
	sum := crc32.Update(crc32.Checksum(im.Label, castagnoli), castagnoli, im.Pix)
	return replace(path, func(f *os.File) error {
		for _, b := range [][]byte{header(id, im, sum), im.Label, im.Pix} {
			if _, err := f.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// replace writes a file beside path, makes it durable and renames it.
func replace(path string, write func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
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
