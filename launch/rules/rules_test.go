package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/espalier-ml/espalier/"
	root   = "../.."
)

// file is a parsed source file with the folder it lies in.
type file struct {
	dir, name string
	ast       *ast.File
	test      bool
}

func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "runs") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		files = append(files, file{filepath.ToSlash(dir), d.Name(), f, strings.HasSuffix(path, "_test.go")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("found %d source files under %s", len(files), root)
	}
	return files
}

func imports(f file) (paths []string) {
	for _, i := range f.ast.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// under reports whether dir is folder or lies in it.
func under(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// rule forbids a folder to import others.
type rule struct {
	folder string
	never  []string
	except []string // folders below never that are allowed
	why    string
}

var rules = []rule{
	{"kernels", []string{"collective", "cluster", "trainer", "methods", "launch", "k8s", "bench"}, nil,
		"kernels compute for whoever asks and know nobody"},
	{"cluster", []string{"kernels", "collective", "trainer", "methods", "launch", "k8s", "bench"}, nil,
		"the control plane must not depend on what it controls"},
	{"collective", []string{"cluster", "trainer", "methods", "launch", "k8s", "bench"}, nil,
		"transports serve any caller"},
	{"trainer", []string{"cluster", "methods", "launch", "k8s", "bench",
		"collective/shm", "collective/tcp", "collective/hier", "collective/nccl", "collective/solo", "kernels/cpu", "kernels/cuda"}, nil,
		"the loop knows the contracts of transport and device, never one of them"},
	{"trainer/graph", []string{"trainer", "collective"}, []string{"trainer/graph"},
		"models → nn → graph → kernels"},
	{"trainer/nn", []string{"trainer", "collective"}, []string{"trainer/nn", "trainer/graph"},
		"models → nn → graph → kernels"},
	{"trainer/models", []string{"trainer", "collective"}, []string{"trainer/models", "trainer/nn", "trainer/graph"},
		"models → nn → graph → kernels"},
	{"methods", []string{"cluster", "launch", "k8s", "bench"}, nil,
		"methods use the trainer's contracts"},
	{"launch", []string{"k8s", "bench"}, nil, "nobody imports the ends of the chain"},
	{"k8s", []string{"bench"}, nil, "nobody imports bench"},
}

// The command is the one place that wires everything.
const command = "launch/espalier"

func TestImportsPointOneWay(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.dir == command {
			continue // tests may use a neighbour as an oracle
		}
		for _, p := range imports(f) {
			p, ours := strings.CutPrefix(p, module)
			if !ours {
				continue
			}
			for _, r := range rules {
				in := func(x string) bool { return under(p, x) }
				if under(f.dir, r.folder) && slices.ContainsFunc(r.never, in) && !slices.ContainsFunc(r.except, in) {
					t.Errorf("%s/%s imports %s: %s", f.dir, f.name, p, r.why)
				}
			}
		}
	}
}

func TestUnsafeAndCgoKeepToTheirPlaces(t *testing.T) {
	places := map[string][]string{
		"unsafe": {"kernels/cpu", "kernels/cuda", "collective/shm", "collective/nccl", "kernels/vec"},
		"C":      {"kernels/cuda", "collective/nccl"},
	}
	for _, f := range sources(t) {
		for _, p := range imports(f) {
			allowed, known := places[p]
			if known && !slices.ContainsFunc(allowed, func(d string) bool { return under(f.dir, d) }) {
				t.Errorf("%s/%s imports %q, which only %v may", f.dir, f.name, p, allowed)
			}
		}
	}
}

func TestEveryPackageExplainsItself(t *testing.T) {
	docs := map[string]string{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		docs[f.dir] += f.ast.Doc.Text()
	}
	for dir, doc := range docs {
		if len(strings.Fields(doc)) < 12 {
			t.Errorf("%s: package comment %q: say what the package is for, promises and leaves to others", dir, doc)
		}
		if base := filepath.Base(dir); slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, base) {
			t.Errorf("%s: a helper lives with its user or gets a noun", dir)
		}
	}
}

func TestTopOfTheTree(t *testing.T) {
	allowed := []string{"cluster", "collective", "trainer", "kernels", "methods", "launch", "k8s", "bench",
		"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "runs", "espalier"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, ".") && !slices.Contains(allowed, n) {
			t.Errorf("%s does not belong at the top: there are %v", n, allowed)
		}
	}
}
