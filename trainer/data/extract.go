package data

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// extract takes the files out of a .tar.gz, whatever folder they lie in there,
// and checks each before it gets its name. Nothing else of the archive is
// written.
func extract(ctx context.Context, archive string, need []File, target string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	want := map[string]File{}
	for _, n := range need {
		want[n.Name] = n
	}
	t := tar.NewReader(readerWith(ctx, z))
	for len(want) > 0 {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n, ok := want[path.Base(h.Name)]
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := extractFile(ctx, t, n, filepath.Join(target, n.Name)); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		delete(want, n.Name)
	}
	for name := range want {
		return fmt.Errorf("the archive holds no %s", name)
	}
	return nil
}

func extractFile(ctx context.Context, r io.Reader, f File, dst string) error {
	return replace(dst, func(tmp *os.File) error {
		if _, err := io.Copy(tmp, io.LimitReader(r, f.Size+1)); err != nil {
			return err
		}
		_, err := f.check(ctx, tmp.Name(), "")
		return err
	})
}
