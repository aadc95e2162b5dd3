package data

import (
	"fmt"
	"io"
	"runtime"
	"sync"
)

// cifarPlane is the size of one colour plane of an image.
const cifarPlane = 32 * 32

// cifarForm is one of the two CIFAR data sets in their binary version: records
// of the labels (CIFAR-100 puts a coarse one before the fine one), then 1,024
// red, green and blue bytes each, row by row.
type cifarForm struct {
	train, test []string // files
	records     int      // in a training file
	tests       int      // in a test file
	coarse      int      // coarse classes, 0 = no coarse label
	classes     int
	mean, std   []float32 // as commonly published for the set
	names       []string
}

func (f cifarForm) labels() int {
	if f.coarse > 0 {
		return 2
	}
	return 1
}

func (f cifarForm) shape(name string, test bool) *Images {
	n := f.records * len(f.train)
	if test {
		n = f.tests * len(f.test)
	}
	return &Images{Name: name, N: n, H: 32, W: 32, C: 3, Classes: f.classes, Max: 255,
		Mean: f.mean, Std: f.std, Names: f.names}
}

// read decodes the files of one split, several at a time: bzip2 is slow.
func (f cifarForm) read(name string, files []packed, test bool) (*Images, error) {
	im, records, part := f.shape(name, test), f.records, files[:len(f.train)]
	if test {
		records, part = f.tests, files[len(f.train):]
	}
	im.Pix, im.Label = make([]byte, im.N*3*cifarPlane), make([]byte, im.N)
	errs := make([]error, len(part))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, p := range part {
		pix := im.Pix[i*records*3*cifarPlane : (i+1)*records*3*cifarPlane]
		label := im.Label[i*records : (i+1)*records]
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, errs[i] = readPacked(p, func(r io.Reader) ([]byte, error) { return nil, f.readRecords(r, pix, label) })
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return im, nil
}

// readRecords decodes exactly len(label) records into pix [n,32,32,3] and the
// (fine) labels.
func (f cifarForm) readRecords(r io.Reader, pix, label []byte) error {
	head := f.labels()
	size := head + 3*cifarPlane
	total := size * len(label)
	buf := make([]byte, min(64, len(label))*size)
	for i := 0; i < len(label); {
		n := min(64, len(label)-i)
		if k, err := io.ReadFull(r, buf[:n*size]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return fmt.Errorf("%d bytes, want %d", i*size+k, total)
			}
			return fmt.Errorf("after %d bytes: %w", i*size+k, err)
		}
		for rec := buf[:n*size]; len(rec) > 0; rec, i = rec[size:], i+1 {
			if f.coarse > 0 && int(rec[0]) >= f.coarse {
				return fmt.Errorf("record %d: coarse label %d, want below %d", i, rec[0], f.coarse)
			}
			label[i] = rec[head-1]
			if int(label[i]) >= f.classes {
				return fmt.Errorf("record %d: label %d, want below %d", i, label[i], f.classes)
			}
			interleave(pix[i*3*cifarPlane:(i+1)*3*cifarPlane], rec[head:size])
		}
	}
	return atEnd(r, total)
}

// interleave turns three planes into pixels of three channels.
func interleave(dst, src []byte) {
	r, g, b := src[:cifarPlane], src[cifarPlane:2*cifarPlane], src[2*cifarPlane:3*cifarPlane]
	dst = dst[:3*cifarPlane]
	for i := range r {
		dst[3*i], dst[3*i+1], dst[3*i+2] = r[i], g[i], b[i]
	}
}
