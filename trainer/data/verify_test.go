package data

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestVerifyTellsTheStateOfEachFile(t *testing.T) {
	content := []byte("what the file should hold")
	repacked := gz(append([]byte{}, content...))
	file := func(name string) File {
		return File{Name: name, Sum: "sha256:" + sum(content), Size: int64(len(content)), Packed: []string{sum([]byte("not gzip, but known"))}}
	}
	sha1 := File{Name: "old", Sum: "sha1:86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"} // of "a"
	e := Entry{Name: "set", Files: []File{file("plain"), file("packed"), file("known"), file("short"), file("other"), file("broken"), file("gone"), sha1}}
	root := place(t, "set", map[string][]byte{
		"plain": content, "packed.gz": repacked, "known.gz": []byte("not gzip, but known"), "short": content[:9],
		"other.gz": gz(edit(content, 3, '?')), "broken.gz": []byte("no gzip at all, and unknown"), "old": []byte("b"),
	})
	want := []struct {
		state  State
		detail string
	}{
		{Good, "sha256 of the unpacked bytes"}, {Good, "sha256 of the unpacked bytes"}, {Good, "sha256 of the packed file"},
		{Altered, "9 unpacked bytes, want 25"}, {Altered, "unpacked bytes have sha256:"}, {Altered, "gzip: invalid header"},
		{Absent, "not in " + root}, {Altered, "unpacked bytes have sha1:"},
	}
	got, err := verifyFiles(t.Context(), e, []string{root})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d files, error %v", len(got), err)
	}
	for i, g := range got {
		if g.State != want[i].state || !strings.HasPrefix(g.Detail, want[i].detail) || (g.Path == "") != (g.State == Absent) {
			t.Errorf("%s: %v %q at %q, want %v %q", g.File, g.State, g.Detail, g.Path, want[i].state, want[i].detail)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verifyFiles(ctx, e, []string{root}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVerifyEmbeddedAndUnknown(t *testing.T) {
	s, err := Verify(t.Context(), "optdigits", "")
	if err != nil || len(s) != 1 || s[0].State != Good {
		t.Errorf("optdigits: %+v, error %v", s, err)
	}
	if _, err := Verify(t.Context(), "nothing", ""); err == nil || !strings.Contains(err.Error(), "unknown data set") {
		t.Errorf("unknown set: %v", err)
	}
	b, err := Absent.MarshalText()
	if err != nil || string(b) != "absent" {
		t.Errorf("state as text: %q, %v", b, err)
	}
}

func TestCatalogIsComplete(t *testing.T) {
	sums := regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha1:[0-9a-f]{40})$`)
	packed := regexp.MustCompile(`^[0-9a-f]{64}$`)
	address := func(name, s string) {
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: address %q", name, s)
		}
	}
	all := Catalog()
	if len(all) != len(forms) || len(all) != len(catalog) {
		t.Errorf("%d entries, %d forms", len(all), len(forms))
	}
	for _, e := range all {
		if e.Name == "" || e.Title == "" || e.Licence == "" || (len(e.Files) == 0) != e.Embedded {
			t.Errorf("%+v lacks something", e)
		}
		if e.Archive != nil {
			address(e.Name, e.Archive.URL)
			if !packed.MatchString(e.Archive.SHA256) || e.Archive.Size == 0 {
				t.Errorf("%s: archive %+v", e.Name, *e.Archive)
			}
		}
		for _, f := range e.Files {
			if !sums.MatchString(f.Sum) || (len(f.URLs) == 0) != (e.Archive != nil) {
				t.Errorf("%s: %+v", e.Name, f)
			}
			for _, p := range f.Packed {
				if !packed.MatchString(p) {
					t.Errorf("%s: %s: packed sum %q", e.Name, f.Name, p)
				}
			}
			for _, u := range f.URLs {
				address(e.Name, u)
			}
		}
	}
}
