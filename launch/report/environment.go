package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Environment is where a run ran, in environment.json. It explains seconds;
// no result depends on it.
type Environment struct {
	CPU string `json:"cpu"`
	// Features are the instruction sets that the kernels use ("avx2 fma").
	Features string `json:"features,omitempty"`
	// Cores is the number of logical CPUs the process may use.
	Cores int    `json:"cores"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	// Go is the version of the compiler, Version that of Espalier with its
	// revision.
	Go      string `json:"go"`
	Version string `json:"version"`
}

// CurrentEnvironment describes this process and its machine; features is what
// the kernels found.
func CurrentEnvironment(features string) Environment {
	e := Environment{
		CPU: "unknown", Features: features, Cores: runtime.NumCPU(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), Version: "unknown",
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		if name := cpuName(f); name != "" {
			e.CPU = name
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		e.Version = version(info)
	}
	return e
}

// Save writes e into the run folder dir.
func (e Environment) Save(dir string) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return writeFile(filepath.Join(dir, EnvironmentFile), append(b, '\n'))
}

func readEnvironment(path string) (*Environment, error) {
	b, err := readSide(path)
	if err != nil || b == nil {
		return nil, err
	}
	e := &Environment{}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return e, nil
}

// cpuName finds the model in the text of /proc/cpuinfo.
func cpuName(r io.Reader) string {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// version reads "v1.2.3 (4f2a91c05d, modified)" out of what the compiler left.
func version(info *debug.BuildInfo) string {
	v, revision, modified := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 10)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if revision == "" || strings.Contains(v, revision) {
		return v
	}
	return fmt.Sprintf("%s (%s%s)", v, revision, modified)
}
