package checkpoint_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
)

// hundredMB is a state of 25 tensors of 4 MB, as of a mid-sized network.
func hundredMB() State {
	s := State{Meta: Meta{Step: 1}}
	for i := range 25 {
		data := make([]byte, 4_000_000)
		for j := range data {
			data[j] = byte(i + j*j>>7)
		}
		s.Tensors = append(s.Tensors, Tensor{fmt.Sprintf("layer%d.weight", i), F32, []int{1000, 1000}, data})
	}
	return s
}

func BenchmarkSave(b *testing.B) {
	st := hundredMB()
	store := Store{Dir: filepath.Join(b.TempDir(), "checkpoints")}
	b.SetBytes(100_000_000)
	for b.Loop() {
		st.Meta.Step++
		if _, err := store.Save(st); err != nil {
			b.Fatal(err)
		}
		if err := store.Prune(1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDisk is what the disk alone takes for the same bytes.
func BenchmarkDisk(b *testing.B) {
	st := hundredMB()
	dir := b.TempDir()
	b.SetBytes(100_000_000)
	for i := 0; b.Loop(); i++ {
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range st.Tensors {
			if _, err := f.Write(t.Data); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(f.Sync(), f.Close(), os.Remove(f.Name())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHash is what hashing alone takes on one core.
func BenchmarkHash(b *testing.B) {
	st := hundredMB()
	b.SetBytes(100_000_000)
	for b.Loop() {
		for _, t := range st.Tensors {
			sha256.Sum256(t.Data)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	st := hundredMB()
	b.SetBytes(100_000_000)
	for b.Loop() {
		Digest(st.Tensors)
	}
}

func BenchmarkLoad(b *testing.B) {
	store := Store{Dir: filepath.Join(b.TempDir(), "checkpoints")}
	path, err := store.Save(hundredMB())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(100_000_000)
	for b.Loop() {
		if _, err := store.Load(path); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	store := Store{Dir: filepath.Join(b.TempDir(), "checkpoints")}
	path, err := store.Save(hundredMB())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(100_000_000)
	for b.Loop() {
		if err := store.Verify(path); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBegin is the time that training is blocked.
func BenchmarkBegin(b *testing.B) {
	values := make([]float32, 1_000_000)
	st := hundredMB()
	s, err := NewSaver(SaverConfig{Store: Store{Dir: filepath.Join(b.TempDir(), "checkpoints")}, Keep: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(100_000_000)
	for b.Loop() {
		st.Meta.Step++
		if err := s.BeginFunc(st, func(_ int, dst []byte) { PutFloat32s(dst, values) }); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkHeader(b *testing.B) {
	var tensors []Tensor
	for i := range 1000 {
		tensors = append(tensors, Tensor{fmt.Sprintf("stage.%d.conv.weight", i), U8, []int{0, 3, 3, 16}, nil})
	}
	var file bytes.Buffer
	if _, err := WriteTensors(&file, tensors, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if _, err := WriteTensors(io.Discard, tensors, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadHeader(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
