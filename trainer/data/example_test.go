package data_test

import (
	"context"
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/trainer/data"
)

// The digits that travel with the program, three epochs in batches of 64, over
// the borders of the epochs.
func Example() {
	set, err := data.Open("optdigits", "")
	if err != nil {
		panic(err)
	}
	src, err := set.Training(data.Options{Seed: 1, Augment: data.Augment{Pad: 1}})
	if err != nil {
		panic(err)
	}
	const batch = 64
	samples := 3 * src.Samples()
	l, err := data.NewLoader(src, data.LoaderConfig{MaxRows: batch}, func(step int) (data.Request, bool) {
		at := step * batch
		return data.Request{Cursor: uint64(at), N: min(batch, samples-at)}, at < samples
	})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	steps, seen := 0, 0
	for {
		b, err := l.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		steps++
		seen += b.Valid
	}
	fmt.Println(src.Row().Shape, steps, "steps", seen, "samples")
	// Output: [8 8 1] 180 steps 11469 samples
}
