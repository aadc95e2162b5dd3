package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The UCI optical digits travel with the binary, so that a fresh machine has
// real data to train on. Terms: optdigits/NOTICE.
//
//go:embed optdigits/optdigits.tra.gz optdigits/optdigits.tes.gz optdigits/NOTICE
var optdigitsFiles embed.FS

// openOptdigits reads the embedded digits: 8x8 counts of 0 to 16.
func openOptdigits() (*ImageSet, error) {
	train, err := embeddedDigits("optdigits.tra.gz", 3823)
	if err != nil {
		return nil, err
	}
	test, err := embeddedDigits("optdigits.tes.gz", 1797)
	if err != nil {
		return nil, err
	}
	train.Mean, train.Std = train.Moments()
	test.Mean, test.Std = train.Mean, train.Std
	train.Name, test.Name = "optdigits/train", "optdigits/test"
	return &ImageSet{Train: train, Test: test}, nil
}

func embeddedDigits(file string, rows int) (*Images, error) {
	raw, err := optdigitsFiles.ReadFile("optdigits/" + file)
	if err != nil {
		return nil, fmt.Errorf("optdigits: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("optdigits: %s: %w", file, err)
	}
	im, err := readDigits(z, rows)
	if err != nil {
		return nil, fmt.Errorf("optdigits: %s: %w", file, err)
	}
	return im, nil
}

// readDigits reads exactly rows lines of 64 counts and a digit, all parted by
// commas.
func readDigits(r io.Reader, rows int) (*Images, error) {
	const pixels = 64
	im := &Images{N: rows, H: 8, W: 8, C: 1, Classes: 10, Max: 16,
		Pix: make([]byte, 0, rows*pixels), Label: make([]byte, 0, rows),
		Names: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n := len(im.Label) + 1
		if n > rows {
			return nil, fmt.Errorf("more than the %d rows wanted", rows)
		}
		fields := strings.Split(lines.Text(), ",")
		if len(fields) != pixels+1 {
			return nil, fmt.Errorf("row %d: %d numbers, want %d", n, len(fields), pixels+1)
		}
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 8)
			switch {
			case err != nil:
				return nil, fmt.Errorf("row %d: number %d: %q is no count", n, i+1, f)
			case i < pixels && v > 16:
				return nil, fmt.Errorf("row %d: number %d: count %d, want 0 to 16", n, i+1, v)
			case i < pixels:
				im.Pix = append(im.Pix, byte(v))
			case v > 9:
				return nil, fmt.Errorf("row %d: digit %d, want 0 to 9", n, v)
			default:
				im.Label = append(im.Label, byte(v))
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after row %d: %w", len(im.Label), err)
	}
	if len(im.Label) != rows {
		return nil, fmt.Errorf("%d rows, want %d", len(im.Label), rows)
	}
	return im, nil
}
