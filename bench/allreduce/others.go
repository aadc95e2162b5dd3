package allreduce

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/espalier-ml/espalier/bench/peers"
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// starters start contenders, in the order of the tables.
var starters = []struct {
	name  string
	start func(ctx context.Context, p *Plan, name string, world int) (*contender, error)
}{
	{"shm", startOurs},
	{"tcp", startOurs},
	{"ring copy", startOurs},
	{"x += y", startOurs},
	{"mpi shm", startMPI},
	{"mpi tcp", startMPI},
	{"gloo", startGloo},
}

// startOurs starts ranks of this program.
func startOurs(ctx context.Context, p *Plan, name string, world int) (*contender, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	host, err := shm.Create(world, collective.Gen{})
	if err != nil {
		return nil, err
	}
	defer host.Close() // the ranks have it by then
	return launch(name, world, func(socket, _ string) (cmds []*exec.Cmd, err error) {
		for r := range world {
			args := append(append([]string{}, p.Self...), "-role", name, "-rank", strconv.Itoa(r), "-world", strconv.Itoa(world), "-socket", socket)
			cmd := pinned(ctx, r, world, program, args...)
			cmd.Env = append(os.Environ(), "GOMAXPROCS=2") // as with one thread that computes
			cmd.ExtraFiles = []*os.File{host.File()}
			cmds = append(cmds, cmd)
		}
		return cmds, nil
	})
}

// startMPI compiles a rank and starts it with mpirun.
func startMPI(ctx context.Context, _ *Plan, name string, world int) (*contender, error) {
	for _, program := range []string{"mpirun", "mpicc"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, absent{program + " is not installed"}
		}
	}
	layers := map[string]string{"mpi shm": "self,vader", "mpi tcp": "self,tcp"}[name]
	return launch(name, world, func(socket, dir string) ([]*exec.Cmd, error) {
		source, program := filepath.Join(dir, "rank.c"), filepath.Join(dir, "rank")
		if err := os.WriteFile(source, peers.AllReduceMPI, 0o600); err != nil {
			return nil, err
		}
		if text, err := commandContext(ctx, "mpicc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
			return nil, absent{fmt.Sprintf("mpicc: %v: %s", err, text)}
		}
		args := []string{"-n", strconv.Itoa(world), "--mca", "btl", layers}
		if world > runtime.NumCPU() {
			args = append(args, "--oversubscribe", "--bind-to", "none")
		} else {
			args = append(args, "--map-by", "core", "--bind-to", "core")
		}
		if os.Getuid() == 0 {
			args = append(args, "--allow-run-as-root")
		}
		return []*exec.Cmd{commandContext(ctx, "mpirun", append(args, program, socket)...)}, nil
	})
}

// pinned is a command on a processor of its own, if there is one for each
// rank and a program that does it.
func pinned(ctx context.Context, rank, world int, name string, args ...string) *exec.Cmd {
	taskset, err := exec.LookPath("taskset")
	if err != nil || world > runtime.NumCPU() {
		return commandContext(ctx, name, args...)
	}
	return commandContext(ctx, taskset, append([]string{"-c", strconv.Itoa(rank), name}, args...)...)
}

// startGloo starts ranks in the first Python that has torch.
func startGloo(ctx context.Context, _ *Plan, name string, world int) (*contender, error) {
	python := ""
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import torch.distributed as d; assert d.is_gloo_available()").Run() == nil {
			python = p
			break
		}
	}
	if python == "" {
		return nil, absent{"no python3 has torch with gloo"}
	}
	return launch(name, world, func(socket, dir string) (cmds []*exec.Cmd, err error) {
		script := filepath.Join(dir, "rank.py")
		if err := os.WriteFile(script, peers.AllReduceGloo, 0o600); err != nil {
			return nil, err
		}
		for r := range world {
			cmd := pinned(ctx, r, world, python, script, socket, filepath.Join(dir, "store"), strconv.Itoa(r), strconv.Itoa(world))
			cmd.Env = append(os.Environ(), "GLOO_SOCKET_IFNAME=lo")
			cmds = append(cmds, cmd)
		}
		return cmds, nil
	})
}
