package data

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// quick tries again at once.
var quick = Downloader{Tries: 4, Backoff: time.Nanosecond}

// server answers each request by the next of its steps, the last for good, and
// notes the ranges asked for.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	steps  []http.HandlerFunc
	ranges []string
}

func serve(t *testing.T, steps ...http.HandlerFunc) *server {
	s := &server{steps: steps}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		step := s.steps[0]
		if len(s.steps) > 1 {
			s.steps = s.steps[1:]
		}
		s.mu.Unlock()
		step(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// whole serves content, ranges included.
func whole(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// cutAt announces everything and breaks off.
func cutAt(content []byte, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", code) }
}

// hang sends a few bytes and then nothing.
func hang(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Write(content)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func TestGetSurvivesBadTransfers(t *testing.T) {
	content := bytes.Repeat([]byte("real data "), 20000)
	wrong := edit(content, 7, 'X')
	everything := func(w http.ResponseWriter, r *http.Request) { w.Write(content) } // knows no ranges
	wrongRange := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 5-9/200000")
		w.WriteHeader(http.StatusPartialContent)
	}
	for _, c := range []struct {
		name   string
		part   []byte // left by an earlier run
		steps  []http.HandlerFunc
		ranges []string
		want   string // of the error, "" = none
	}{
		{"at once", nil, []http.HandlerFunc{whole(content)}, []string{""}, ""},
		{"cut once", nil, []http.HandlerFunc{cutAt(content, 70000), whole(content)}, []string{"", "bytes=70000-"}, ""},
		{"part of an earlier run", content[:1234], []http.HandlerFunc{whole(content)}, []string{"bytes=1234-"}, ""},
		{"complete part", content, []http.HandlerFunc{whole(content)}, []string{"bytes=200000-"}, ""},
		{"part longer than the file", append(bytes.Clone(content), 1, 2), []http.HandlerFunc{whole(content)}, []string{"bytes=200002-", ""}, ""},
		{"part of another file", []byte("other"), []http.HandlerFunc{whole(content)}, []string{"bytes=5-", ""}, ""},
		{"no ranges", content[:99], []http.HandlerFunc{everything}, []string{"bytes=99-"}, ""},
		{"other range than asked", content[:99], []http.HandlerFunc{wrongRange, whole(content)}, []string{"bytes=99-", ""}, ""},
		{"busy", nil, []http.HandlerFunc{status(503), status(429), whole(content)}, []string{"", "", ""}, ""},
		{"stalled", nil, []http.HandlerFunc{hang(content[:1000]), whole(content)}, []string{"", "bytes=1000-"}, ""},
		{"gone", nil, []http.HandlerFunc{status(404)}, []string{""}, "server answers 404 Not Found"},
		{"always busy", nil, []http.HandlerFunc{status(500)}, []string{"", "", "", ""}, "server answers 500"},
		{"wrong bytes", nil, []http.HandlerFunc{whole(wrong)}, []string{"", "", "", ""}, errAltered.Error()},
		{"too long", nil, []http.HandlerFunc{whole(append(bytes.Clone(content), make([]byte, 1<<20)...))}, []string{""}, "the server offers 1248576 bytes"},
		{"too long without saying", nil, []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				w.Write(content)
			}
		}}, []string{""}, "more than the 290536 bytes expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, c.steps...)
			d := quick
			if c.name == "stalled" {
				d.Stall = 300 * time.Millisecond
			}
			e := Entry{Name: "set", Files: []File{{Name: "f.bin", Sum: "sha256:" + sum(content), Size: int64(len(content)), URLs: []string{srv.URL + "/f.bin"}}}}
			target := filepath.Join(t.TempDir(), "set")
			if c.part != nil {
				os.MkdirAll(target, 0o755)
				os.WriteFile(filepath.Join(target, "f.bin.part"), c.part, 0o644)
			}
			var done, total int64
			err := d.get(t.Context(), e, target, func(file string, d, t int64) { done, total = d, t })
			got, readErr := os.ReadFile(filepath.Join(target, "f.bin"))
			if c.want == "" {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, error %v", len(got), err)
				}
				if len(c.part) < len(content) && (done != int64(len(content)) || total != 0 && total != done) {
					t.Errorf("progress ends at %d of %d", done, total)
				}
				if _, err := os.Stat(filepath.Join(target, "f.bin.part")); !os.IsNotExist(err) {
					t.Errorf("part left behind: %v", err)
				}
			} else {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), srv.URL) || !strings.Contains(err.Error(), target) {
					t.Errorf("error %v, want %q with address and folder", err, c.want)
				}
				if !os.IsNotExist(readErr) {
					t.Error("a bad file has the good name")
				}
			}
			if !slices.Equal(srv.ranges, c.ranges) {
				t.Errorf("ranges %q, want %q", srv.ranges, c.ranges)
			}
		})
	}
}

func TestGetTriesMirrorsAndUnpacksToCheck(t *testing.T) {
	content := []byte("the content of the file")
	dead := serve(t, status(404))
	live := serve(t, whole(gz(content)))
	f := File{Name: "input.txt", Sum: "sha256:" + sum(content), Size: int64(len(content)), URLs: []string{dead.URL + "/input.txt", live.URL + "/input.txt.gz"}}
	target := t.TempDir()
	altered := filepath.Join(target, "input.txt")
	if err := os.WriteFile(altered, []byte("the content of another"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := Entry{Name: "set", Files: []File{f}}
	if err := quick.get(t.Context(), e, target, nil); err != nil {
		t.Fatal(err)
	}
	found, err := find("set", []string{target}, []string{"input.txt"})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := readText(found[0], 1000); err != nil || text != string(content) {
		t.Errorf("%q, error %v", text, err)
	}
	if _, err := os.Stat(altered + ".altered"); err != nil {
		t.Errorf("the altered file was not put aside: %v", err)
	}
	if err := quick.get(t.Context(), e, target, nil); err != nil || len(live.ranges) != 1 {
		t.Errorf("a good file is fetched again: %d requests, error %v", len(live.ranges), err)
	}
}

func tarGz(files map[string][]byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, b := range files {
		w.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644, Typeflag: tar.TypeReg})
		w.Write(b)
	}
	w.Close()
	return gz(out.Bytes())
}

func TestGetTakesFilesOutOfAnArchive(t *testing.T) {
	a, b := []byte("first file"), []byte("second file")
	entry := func(url string, packed []byte) Entry {
		return Entry{Name: "set", Archive: &Archive{URL: url + "/set.tar.gz", SHA256: sum(packed), Size: int64(len(packed))}, Files: []File{
			{Name: "a.bin", Sum: "sha256:" + sum(a), Size: int64(len(a))}, {Name: "b.bin", Sum: "sha256:" + sum(b), Size: int64(len(b))}}}
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"good", map[string][]byte{"set-bin/a.bin": a, "set-bin/b.bin": b, "set-bin/readme": []byte("x"), "../../evil": []byte("x")}, ""},
		{"file altered", map[string][]byte{"set-bin/a.bin": a, "set-bin/b.bin": []byte("second fil3")}, "set-bin/b.bin: write"},
		{"file longer", map[string][]byte{"set-bin/a.bin": a, "set-bin/b.bin": append(bytes.Clone(b), 1)}, "12 unpacked bytes, want 11"},
		{"file missing", map[string][]byte{"set-bin/a.bin": a}, "the archive holds no b.bin"},
	} {
		packed := tarGz(c.files)
		srv := serve(t, cutAt(packed, len(packed)/2), whole(packed))
		parent := t.TempDir()
		target := filepath.Join(parent, "data", "set")
		err := quick.get(t.Context(), entry(srv.URL, packed), target, nil)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "put the .bin files") {
				t.Errorf("%s: error %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var names []string
		filepath.WalkDir(parent, func(p string, d os.DirEntry, err error) error {
			if !d.IsDir() {
				names = append(names, d.Name())
			}
			return err
		})
		if !slices.Equal(names, []string{"a.bin", "b.bin"}) {
			t.Errorf("%s: files %v", c.name, names)
		}
	}
}

func TestGetSaysWhatToDoOffline(t *testing.T) {
	srv := serve(t, status(404))
	url := srv.URL
	srv.Close()
	target := t.TempDir()
	e := Entry{Name: "set", Files: []File{{Name: "f.bin", Sum: "sha256:" + sum(nil), URLs: []string{url + "/f.bin"}}}}
	err := quick.get(t.Context(), e, target, nil)
	for _, part := range []string{"set: f.bin: get " + url, "refused", "put f.bin (plain, .gz or .bz2) into " + target, "espalier data verify set"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q: %v", part, err)
		}
	}
}

func TestGetStopsWithItsContext(t *testing.T) {
	srv := serve(t, hang([]byte("some")))
	ctx, cancel := context.WithCancel(t.Context())
	target := t.TempDir()
	e := Entry{Name: "set", Files: []File{{Name: "f.bin", Sum: "sha256:" + sum(nil), URLs: []string{srv.URL + "/f.bin"}}}}
	err := quick.get(ctx, e, target, func(_ string, done, _ int64) {
		if done == 4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(target, "f.bin.part")); string(b) != "some" {
		t.Errorf("part %q is not kept", b)
	}
	if err := Get(ctx, "no-such-set", target, nil); err == nil || !strings.Contains(err.Error(), "unknown data set") {
		t.Errorf("unknown set: %v", err)
	}
	if err := Get(t.Context(), "optdigits", target, nil); err != nil {
		t.Errorf("embedded set: %v", err)
	}
}

func TestGetDir(t *testing.T) {
	t.Setenv(EnvCache, "/cache")
	t.Setenv(EnvData, "")
	for _, c := range []struct{ dir, env, want string }{
		{"", "", "/cache/data/mnist"}, {"", "/env", "/env/mnist"}, {"/dir", "/env", "/dir/mnist"},
	} {
		t.Setenv(EnvData, c.env)
		if got, err := GetDir("mnist", c.dir); err != nil || got != c.want {
			t.Errorf("%+v: %s, error %v", c, got, err)
		}
	}
}
