package collective

import (
	"fmt"
	"testing"
)

func TestLayoutOfThree(t *testing.T) {
	l, err := BuildLayout([]ParamSize{{"fc.b", 10}, {"fc.w", 640}, {"conv", 9}}, 4096, 64)
	if err != nil {
		t.Fatal(err)
	}
	want := []Bucket{{0, 40, 0, 1}, {64, 2560 + 36, 1, 3}}
	if fmt.Sprint(l.Buckets) != fmt.Sprint(want) || l.Bytes != 2688 {
		t.Errorf("buckets %v of %d bytes, want %v of 2688", l.Buckets, l.Bytes, want)
	}
}

// Properties over many random parameter lists.
func TestLayoutProperties(t *testing.T) {
	x := uint32(1)
	rnd := func(n int) int {
		x = x*1664525 + 1013904223
		return int(x>>8) % n
	}
	for trial := range 300 {
		params := make([]ParamSize, rnd(40))
		for i := range params {
			params[i] = ParamSize{fmt.Sprint("p", i), 1 + rnd(1<<(1+rnd(12)))}
		}
		limit, first := int64(1+rnd(20000)), int64(1+rnd(2000))
		l, err := BuildLayout(params, limit, first)
		if err != nil {
			t.Fatal(err)
		}
		checkLayout(t, l, limit, first)
		again, _ := BuildLayout(params, limit, first)
		if again.Digest != l.Digest {
			t.Errorf("trial %d: two layouts of the same parameters differ", trial)
		}
		if t.Failed() {
			t.Fatalf("trial %d: limit %d first %d params %v", trial, limit, first, params)
		}
	}
}

func checkLayout(t *testing.T, l Layout, limit, first int64) {
	t.Helper()
	next := int64(0) // parameters and buckets tile the arena in order
	for i, p := range l.Params {
		if l.Offsets[i] != next || next%Align != 0 {
			t.Errorf("parameter %d at %d, want %d", i, l.Offsets[i], next)
		}
		next = (next + int64(p.Elems)*4 + Align - 1) / Align * Align
		b := l.Buckets[l.BucketOf(i)]
		if i < b.First || i >= b.Last || l.Offsets[i] < b.Off || l.Offsets[i]+int64(p.Elems)*4 > b.Off+b.Bytes {
			t.Errorf("parameter %d is not inside its bucket %+v", i, b)
		}
	}
	if l.Bytes != next {
		t.Errorf("arena of %d bytes, want %d", l.Bytes, next)
	}
	param := 0
	for k, b := range l.Buckets {
		if b.First != param || b.Last <= b.First {
			t.Errorf("bucket %d has parameters [%d,%d), want from %d", k, b.First, b.Last, param)
		}
		param = b.Last
		most := limit
		if k == 0 {
			most = min(limit, first)
		}
		if b.Bytes > most && b.Last-b.First > 1 {
			t.Errorf("bucket %d has %d bytes, limit %d", k, b.Bytes, most)
		}
	}
	if param != len(l.Params) {
		t.Errorf("buckets hold %d of %d parameters", param, len(l.Params))
	}
}

func TestLayoutDigestTellsPlansApart(t *testing.T) {
	base := []ParamSize{{"a", 16}, {"b", 32}}
	plans := []struct {
		name   string
		params []ParamSize
		limit  int64
	}{
		{"base", base, 1 << 20},
		{"order", []ParamSize{{"b", 32}, {"a", 16}}, 1 << 20},
		{"names", []ParamSize{{"a", 16}, {"c", 32}}, 1 << 20},
		{"sizes within padding", []ParamSize{{"a", 15}, {"b", 32}}, 1 << 20},
		{"buckets", base, 64},
	}
	seen := map[Digest]string{}
	for _, p := range plans {
		l, err := BuildLayout(p.params, p.limit, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := seen[l.Digest]; dup {
			t.Errorf("plans %q and %q have the same digest", p.name, other)
		}
		seen[l.Digest] = p.name
	}
}

func TestLayoutRefuses(t *testing.T) {
	tests := []struct {
		name         string
		params       []ParamSize
		limit, first int64
	}{
		{"empty parameter", []ParamSize{{"a", 0}}, 1, 1},
		{"negative size", []ParamSize{{"a", -1}}, 1, 1},
		{"overflow", []ParamSize{{"a", 1 << 62}}, 1, 1},
		{"same name", []ParamSize{{"a", 1}, {"a", 1}}, 1, 1},
		{"no limit", []ParamSize{{"a", 1}}, 0, 1},
		{"no first limit", []ParamSize{{"a", 1}}, 1, -1},
	}
	for _, tt := range tests {
		if _, err := BuildLayout(tt.params, tt.limit, tt.first); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}
