package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// long is tiny, long enough for nodes to come and go, and with shards for eight
// workers.
var long = strings.NewReplacer("epochs: 1.5, batch: 32", "epochs: 6, batch: 32, shards: 8").Replace(tiny)

// process is a node as a process of its own.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	said chan string // lines of standard error, closed at its end
	all  strings.Builder
}

func launch(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, said: make(chan string, 1<<14)}
	p.cmd = exec.Command(os.Args[0], append([]string{"launch", "job.yaml", "--node", name, "--run-dir", name, "--threads", "1"}, args...)...)
	p.cmd.Env = append(os.Environ(), commandKey+"=1")
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	go func() {
		defer close(p.said)
		for s := bufio.NewScanner(errs); s.Scan(); {
			p.said <- s.Text()
		}
	}()
	return p
}

// until waits for a line that holds the text, and returns it.
func (p *process) until(text string) string {
	p.t.Helper()
	for line := range p.said {
		p.all.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return line
		}
	}
	p.t.Fatalf("node %s never said %q:\n%s", p.name, text, p.all.String())
	return ""
}

// address is where others join a first node.
func (p *process) address() string {
	p.t.Helper()
	_, rest, _ := strings.Cut(p.until("other nodes: "), "--join ")
	return strings.Fields(rest)[0]
}

// code waits for the end.
func (p *process) code() int {
	for line := range p.said {
		p.all.WriteString(line + "\n")
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// digest is that of the node's record.
func digest(t *testing.T, dir string) any {
	t.Helper()
	b, err := os.ReadFile(dir + "/metrics.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	var end map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end["kind"] != "end" {
		t.Fatalf("%s: the record ends with %s", dir, lines[len(lines)-1])
	}
	return end["digest"]
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLaunch: nodes join with a token, one is killed, one leaves, and those who
// are there at the end have the bits of the undisturbed run. There must be two,
// so that the run waits for the next one whenever one has gone.
func TestLaunch(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes")
	}
	inFolder(t, long)
	want := trainTiny(t, "whole", "--nproc", "1")

	a := launch(t, "a", "--nodes", "2:4", "--nproc", "2", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--verbose")
	addr := a.address()
	enter := func(name, token, nproc string) *process {
		return launch(t, name, "--nodes", "2:4", "--nproc", nproc, "--listen", "127.0.0.1:0", "--join", addr, "--token-file", token)
	}
	url := regexp.MustCompile(`http://[^"]*`).FindString(a.until("http://"))
	b := enter("b", "a/cluster/token-1", "2")
	b.until("train")
	if text := get(t, url); !strings.Contains(text, "espalier_world 4\n") || !strings.Contains(text, "espalier_steps ") {
		t.Errorf("metrics:\n%s", text)
	}
	b.cmd.Process.Kill()
	b.code()
	c := enter("c", "a/cluster/token-2", "1")
	c.until("train")
	c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.code(); code != 143 {
		t.Errorf("the node that left: exit status %d\n%s", code, c.all.String())
	}
	if d := enter("d", "a/cluster/token-2", "1"); d.code() != 75 || !strings.Contains(d.all.String(), "token was used before") {
		t.Errorf("a token that was used:\n%s", d.all.String())
	}
	e := enter("e", "a/cluster/token-3", "2")
	if code := a.code(); code != 0 {
		t.Fatalf("exit status %d\n%s", code, a.all.String())
	}
	e.code()
	if got := digest(t, "a"); got != want["digest"] {
		t.Errorf("digest %v, want %v\n%s", got, want["digest"], a.all.String())
	}
	if got := digest(t, "e"); got != want["digest"] {
		t.Errorf("digest of a node that came late %v, want %v\n%s", got, want["digest"], e.all.String())
	}
	if o := command(t, "watch", "a"); o.code != 0 || !strings.HasPrefix(o.stdout, "done  generation ") {
		t.Errorf("watch: exit status %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if o := command(t, "status", "a", "--json"); o.object(t)["step"] != want["steps"] {
		t.Errorf("status %s", o.stdout)
	}
}

// TestLaunchWithThreeControlNodes: the first node dies, and the others go on with
// the bits of the undisturbed run.
func TestLaunchWithThreeControlNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes, and waits for an election")
	}
	inFolder(t, long)
	want := trainTiny(t, "whole", "--nproc", "1")
	nodes := []string{"--nodes", "2:4", "--lost", "1m"}
	a := launch(t, "a", append(nodes, "--control", "3", "--listen", "127.0.0.1:0")...)
	addr := a.address()
	enter := func(name, listen, token string) *process {
		return launch(t, name, append(nodes, "--listen", listen+":0", "--join", addr, "--token-file", token)...)
	}
	b, c := enter("b", "127.0.0.2", "a/cluster/token-1"), enter("c", "127.0.0.3", "a/cluster/token-2")
	b.until("train")
	c.until("train")
	a.cmd.Process.Kill()
	for _, p := range []*process{b, c} {
		if code := p.code(); code != 0 {
			t.Fatalf("node %s: exit status %d\n%s", p.name, code, p.all.String())
		}
		if got := digest(t, p.name); got != want["digest"] {
			t.Errorf("node %s: digest %v, want %v\n%s", p.name, got, want["digest"], p.all.String())
		}
		if b, err := os.ReadFile(p.name + "/reform.jsonl"); err != nil || strings.Count(string(b), "\n") < 2 {
			t.Errorf("node %s was not in two generations: %s, %v", p.name, b, err)
		}
	}
}

// TestLaunchWithoutFirstNode: who waits for others, and who comes when they have
// gone, ends and says why.
func TestLaunchWithoutFirstNode(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many processes")
	}
	inFolder(t, long)
	a := launch(t, "a", "--nodes", "2:3", "--listen", "127.0.0.1:0")
	addr := a.address()
	enter := func(name, token string) *process {
		return launch(t, name, "--nodes", "2:3", "--listen", "127.0.0.1:0", "--join", addr, "--token-file", token, "--lost", "3s")
	}
	b := enter("b", "a/cluster/token-1")
	b.until("train")
	a.cmd.Process.Kill()
	c := enter("c", "a/cluster/token-2")
	if code := b.code(); code != 75 || !strings.Contains(b.all.String(), "the store of the run was not reached for") {
		t.Errorf("the node that is left: exit status %d\n%s", code, b.all.String())
	}
	if code := c.code(); code != 75 || !strings.Contains(c.all.String(), "no gate answers for 3s") {
		t.Errorf("a node that came late: exit status %d\n%s", code, c.all.String())
	}
}

func TestLaunchRefuses(t *testing.T) {
	inFolder(t, tiny)
	for _, c := range []struct{ name, args, want string }{
		{"nodes", "--nodes 3:2", "--nodes 3:2: want MIN or MIN:MAX"},
		{"name", "--node a.b", "--node: "},
		{"two control nodes", "--nodes 3 --control 2", "--control 2: want 1, or 3"},
		{"control set larger than the run", "--nodes 1:2 --control 3", "with at most 2 nodes"},
		{"control set in plain text", "--nodes 3 --control 3 --plain", "one control server in plain text"},
		{"no patience", "--lost 0s", "--lost 0s: want more than 0"},
		{"plain to others", "--plain --listen 10.0.0.1:7400", "10.0.0.1 is no loopback address"},
		{"no token", "--join 127.0.0.1:1", "a token is needed to join"},
		{"bad token", "--join 127.0.0.1:1 --token-file job.yaml", "token: "},
		{"too many workers", "--nodes 3 --nproc 2", "3 nodes of 2 workers cannot share 4 shards"},
		{"number of workers counts", "--nodes 1:2 --strict=false", "give one number"},
	} {
		if o := command(t, append(strings.Fields("launch job.yaml --run-dir r"), strings.Fields(c.args)...)...); o.code != 64 || !strings.Contains(o.stderr, c.want) {
			t.Errorf("%s: exit status %d: %s, want %q", c.name, o.code, o.stderr, c.want)
		}
	}
}

// TestTrace: the operations of all workers in one file.
func TestTrace(t *testing.T) {
	inFolder(t, tiny)
	if o := command(t, "trace", "."); o.code != 64 || !strings.Contains(o.stderr, "has no traces") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
	trainTiny(t, "r", "--nproc", "2", "--set", "run.trace=true", "--set", "train.epochs=0.2")
	m := command(t, "trace", "r", "-o", "all.json", "--json").object(t)
	b, err := os.ReadFile("all.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ TraceEvents []traceEvent }
	if err := json.Unmarshal(b, &all); err != nil || float64(len(all.TraceEvents)) != m["events"] {
		t.Fatalf("%d events, %v says %v", len(all.TraceEvents), err, m)
	}
	ops, formations := map[int]int{}, 0
	for _, e := range all.TraceEvents {
		switch {
		case e.Phase == "X" && e.Took >= 0 && e.Time > 0:
			ops[e.Tid]++
		case e.Phase == "i":
			formations++
		}
	}
	if len(ops) != 2 || ops[1] < 10 || ops[1] != ops[2] || formations != 1 {
		t.Errorf("operations of workers %v, %d formations", ops, formations)
	}
}
