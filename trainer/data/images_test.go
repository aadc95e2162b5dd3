package data

import (
	"slices"
	"strings"
	"testing"
)

func training(t testing.TB, im *Images, a Augment) Source {
	t.Helper()
	src, err := im.Training(4, a)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestTrainingSeesEachSampleOncePerEpoch(t *testing.T) {
	im := testImages(23, 1, 1, 1)
	for i := range im.Pix {
		im.Pix[i] = byte(i) // the pixel names the sample
	}
	im.Mean, im.Std, im.Max = []float32{0}, []float32{1}, 1
	src := training(t, im, Augment{})
	b := NewBatch(src.Row(), 10)
	const epochs = 5
	count := make([]int, epochs*im.N)
	for cursor := 0; cursor < epochs*im.N; cursor += 10 {
		r := Request{Cursor: uint64(cursor), N: min(10, epochs*im.N-cursor)}
		if err := src.Fill(b, r); err != nil {
			t.Fatal(err)
		}
		if b.N != r.N || b.Valid != r.N || b.Epoch != cursor/im.N || b.Request != r {
			t.Fatalf("request %+v: batch of %d rows, %d valid, epoch %d", r, b.N, b.Valid, b.Epoch)
		}
		for i, x := range b.X {
			if b.Y[i] != int32(im.Label[int(x)]) {
				t.Fatalf("sample %v has label %d", x, b.Y[i])
			}
			count[(cursor+i)/im.N*im.N+int(x)]++
		}
	}
	for i, n := range count {
		if n != 1 {
			t.Errorf("epoch %d: sample %d seen %d times", i/im.N, i%im.N, n)
		}
	}
}

// The oracle of sharding: rows do not depend on how requests are cut.
func TestRowsDoNotDependOnTheCut(t *testing.T) {
	im := testImages(19, 8, 8, 3)
	src := training(t, im, Augment{Pad: 2, Flip: true, Cutout: 3})
	whole := Request{Cursor: 7, N: 60}
	want := NewBatch(src.Row(), 60)
	if err := src.Fill(want, whole); err != nil {
		t.Fatal(err)
	}
	for _, parts := range []int{1, 2, 4, 7, 60} {
		b := NewBatch(src.Row(), 60)
		var x []float32
		var y []int32
		for i := range parts {
			r := whole.Part(i, i+1, parts)
			if err := src.Fill(b, r); err != nil {
				t.Fatal(err)
			}
			x, y = append(x, b.X...), append(y, b.Y...)
			lo := int(r.Cursor - whole.Cursor)
			v := want.Rows(lo, lo+r.N)
			if !slices.Equal(v.X, b.X) || !slices.Equal(v.Y, b.Y) || v.Request != r || v.Valid != r.N {
				t.Errorf("part %d of %d is not its view of the whole batch", i, parts)
			}
		}
		if !slices.Equal(x, want.X) || !slices.Equal(y, want.Y) {
			t.Errorf("%d parts give other rows", parts)
		}
	}
}

func TestEvaluationFillsUpTheLastBatch(t *testing.T) {
	im := testImages(10, 2, 2, 1)
	src, err := im.Evaluation()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch(src.Row(), 4)
	valid := 0
	for _, c := range []struct {
		r     Request
		valid int
		y     []int32
	}{
		{Request{0, 4}, 4, []int32{0, 1, 2, 3}},
		{Request{4, 4}, 4, []int32{4, 5, 6, 7}},
		{Request{8, 4}, 2, []int32{8, 9, Ignore, Ignore}},
		{Request{12, 4}, 0, []int32{Ignore, Ignore, Ignore, Ignore}},
		{Request{12, 0}, 0, []int32{}},
	} {
		for i := range b.X {
			b.X[i] = 99
		}
		if err := src.Fill(b, c.r); err != nil {
			t.Fatal(err)
		}
		if b.Valid != c.valid || !slices.Equal(b.Y, c.y) {
			t.Errorf("%+v: %d valid, targets %v, want %d, %v", c.r, b.Valid, b.Y, c.valid, c.y)
		}
		for i, y := range b.Y {
			want := make([]float32, 4)
			if y != Ignore {
				want = plainView(im, int(c.r.Cursor)+i, view{})
			}
			if got := b.X[i*4 : i*4+4]; !slices.Equal(got, want) {
				t.Errorf("%+v: row %d is %v, want %v", c.r, i, got, want)
			}
		}
		valid += b.Valid
	}
	if valid != src.Samples() {
		t.Errorf("%d targets over all, want %d", valid, src.Samples())
	}
}

func TestFillAllocatesNothing(t *testing.T) {
	im := testImages(100, 28, 28, 1)
	chars, err := NewChars("test", strings.Repeat("to be or not to be ", 50))
	if err != nil {
		t.Fatal(err)
	}
	text, err := chars.Training(1, 8)
	if err != nil {
		t.Fatal(err)
	}
	eval, err := im.Evaluation()
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]Source{
		"images":     training(t, im, Augment{Pad: 2, Flip: true, Cutout: 4}),
		"evaluation": eval,
		"text":       text,
	} {
		b := NewBatch(src.Row(), 16)
		var cursor uint64
		if n := testing.AllocsPerRun(20, func() {
			src.Fill(b, Request{Cursor: cursor, N: 16})
			cursor += 16
		}); n != 0 {
			t.Errorf("%s: %v allocations a batch", name, n)
		}
	}
}

func TestMomentsAreExact(t *testing.T) {
	im := testImages(2, 1, 2, 2)
	im.Pix = []byte{0, 255, 255, 255, 0, 255, 255, 255}
	mean, std := im.Moments()
	if !slices.Equal(mean, []float32{0.5, 1}) || !slices.Equal(std, []float32{0.5, 0}) {
		t.Errorf("mean %v deviation %v", mean, std)
	}
}

func TestImagesValidate(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Images)
		want  string
	}{
		{"whole", func(*Images) {}, ""},
		{"none", func(im *Images) { im.N = 0 }, "0 images"},
		{"pixels missing", func(im *Images) { im.Pix = im.Pix[1:] }, "31 pixel values, want 32"},
		{"label missing", func(im *Images) { im.Label = im.Label[1:] }, "7 labels, want 8"},
		{"label too high", func(im *Images) { im.Label[3] = 10 }, "label 10 of image 3, want below 10"},
		{"no moments", func(im *Images) { im.Mean = nil }, "0 means"},
		{"no spread", func(im *Images) { im.Std[0] = 0 }, "deviation 0"},
		{"names", func(im *Images) { im.Names = []string{"a"} }, "1 class names, want 10"},
		{"classes", func(im *Images) { im.Classes = 300 }, "300 classes"},
		{"brightness", func(im *Images) { im.Max = 0 }, "brightness 0"},
	} {
		im := testImages(8, 2, 2, 1)
		c.spoil(im)
		_, err := im.Training(1, Augment{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := testImages(8, 2, 2, 1).Training(1, Augment{Pad: 2}); err == nil || !strings.Contains(err.Error(), "test/train: augment: pad 2") {
		t.Errorf("pad as large as the image: error %v", err)
	}
}
