package checkpoint

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Sum is a SHA-256. In text it is 64 lower-case hexadecimal digits.
type Sum [32]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes exactly the
// text that MarshalText gives.
func (s *Sum) UnmarshalText(text []byte) error {
	var v Sum
	ok := len(text) == hex.EncodedLen(len(v))
	if ok {
		_, err := hex.Decode(v[:], text)
		ok = err == nil && v.String() == string(text)
	}
	if !ok {
		return fmt.Errorf("checksum %q: want 64 lower-case hexadecimal digits", text)
	}
	*s = v
	return nil
}

// Record describes a tensor without its data.
type Record struct {
	Name  string `json:"name"`
	DType DType  `json:"dtype"`
	Shape []int  `json:"shape"`
	Sum   Sum    `json:"sha256"` // of the data
}

// Digest is the fingerprint of a set of tensors with unique names: equal for
// equal names, types, shapes and bits, whatever the order, the number of
// files or the world size. It is the SHA-256 of
//
//	"espalier state 1\n" ‖ count ‖ for each tensor, sorted by the bytes of its name:
//	len(name) ‖ name ‖ len(dtype) ‖ dtype ‖ rank ‖ shape… ‖ SHA-256(data)
//
// with all numbers as 8 bytes little-endian. So it can be had from the sums
// of tensors that different workers hold, without moving their data.
func Digest(tensors []Tensor) Sum {
	records := make([]Record, len(tensors))
	_ = parallel(len(tensors), func(i int) error {
		records[i] = record(tensors[i])
		return nil
	})
	return digestRecords(records)
}

func record(t Tensor) Record {
	shape := t.Shape
	if shape == nil {
		shape = []int{} // a scalar, however the caller writes it
	}
	return Record{Name: t.Name, DType: t.DType, Shape: shape, Sum: sha256.Sum256(t.Data)}
}

func digestRecords(records []Record) Sum {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b Record) int { return cmp.Compare(a.Name, b.Name) })
	b := append([]byte("espalier state 1\n"), le64(len(sorted))...)
	for _, r := range sorted {
		b = append(append(b, le64(len(r.Name))...), r.Name...)
		b = append(append(b, le64(len(r.DType))...), r.DType...)
		b = append(b, le64(len(r.Shape))...)
		for _, dim := range r.Shape {
			b = append(b, le64(dim)...)
		}
		b = append(b, r.Sum[:]...)
	}
	return sha256.Sum256(b)
}

func le64(n int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// parallel calls f(0) … f(n-1) on all cores and returns the error of the
// lowest index among those that failed.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[i] = f(i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
