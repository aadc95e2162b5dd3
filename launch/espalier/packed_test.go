package main

import (
	"math"
	"os"
	"strings"
	"testing"
)

// shortQuantized is a run of a second or two through all phases.
const shortQuantized = `
data: {name: optdigits}
model: {name: mlp, hidden: [48, 32], norm: true}
train: {epochs: 4, batch: 64}
optim: {name: sgd, lr: 0.05}
quantize: {group: 8, price: 0.05}
run: {nproc: 1}
`

// A quantized run is packed, measured to be what was trained, written as ONNX,
// and its layers are timed.
func TestPackedNetworks(t *testing.T) {
	inFolder(t, shortQuantized)
	trained := command(t, "train", "job.yaml", "--json")
	if trained.code != 0 {
		t.Fatal(trained.stderr)
	}
	want := trained.object(t)["test_accuracy"].(float64)

	x := command(t, "export", "runs/job", "-o", "net.packed", "--packed", "--json").object(t)
	if bits := x["bits"].(float64); bits < 1 || bits > 8 || x["layers"] != 3.0 {
		t.Errorf("export says %v", x)
	}
	info, err := os.Stat("net.packed")
	if err != nil || float64(info.Size()) != x["bytes"] {
		t.Errorf("file of %v, export says %v", info, x["bytes"])
	}
	got := command(t, "eval", "net.packed", "--json").object(t)["test_accuracy"].(float64)
	if math.Abs(got-want) > 0.002 {
		t.Errorf("packed accuracy %v, trained %v", got, want)
	}
	b := command(t, "bench", "infer", "net.packed", "--time", "1us", "--json").object(t)
	if n := len(b["layers"].([]any)); n != 3 {
		t.Errorf("%d layers measured", n)
	}
	for _, kind := range []string{"float32", "int8", "int4"} {
		if o := command(t, "export", "runs/job", "-o", kind+".onnx", "--onnx", "--type", kind); o.code != 0 {
			t.Errorf("%s: %s", kind, o.stderr)
		}
	}
	file, err := os.ReadFile("net.packed")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "damaged.packed", string(file[:len(file)-1]))
	for _, c := range []struct{ args, want string }{
		{"eval damaged.packed", "packed network"},
		{"bench infer damaged.packed", "packed network"},
		{"eval job.yaml", "packed network"},
		{"export runs/job -o x --packed --onnx", "choose one"},
		{"export runs/job -o x --packed --layout pytorch", "leave out --layout"},
		{"export runs/job -o x --type int8", "--type is for --onnx"},
		{"export runs/job -o x --onnx --type int2", "want float32, int8 or int4"},
		{"bench infer --threads 0", "want 1 or more"},
	} {
		if o := command(t, strings.Fields(c.args)...); o.code == 0 || !strings.Contains(o.stderr, c.want) {
			t.Errorf("%s: exit status %d, %q, want %q", c.args, o.code, o.stderr, c.want)
		}
	}
}

// What was never quantized cannot be packed.
func TestPackingAnOrdinaryRun(t *testing.T) {
	inFolder(t, "train: {epochs: 0.1, batch: 32}\nmodel: {name: mlp, hidden: [8]}\nrun: {nproc: 1}\n")
	if o := command(t, "train", "job.yaml"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	for _, args := range []string{"export runs/job -o x --packed", "export runs/job -o x --onnx --type int8", "bench infer runs/job"} {
		if o := command(t, strings.Fields(args)...); o.code == 0 || !strings.Contains(o.stderr, "was not quantized") {
			t.Errorf("%s: exit status %d, %q", args, o.code, o.stderr)
		}
	}
	if o := command(t, "export", "runs/job", "-o", "x.onnx", "--onnx"); o.code != 0 {
		t.Error(o.stderr)
	}
}
