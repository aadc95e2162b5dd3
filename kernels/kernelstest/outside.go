package kernelstest

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
)

// outside are indices of a table of 4 rows; two of them are inside.
var outside = []int32{0, -1, 4, 1 << 30, math.MinInt32, 3}

// runOutside wants indices from bad data to be loud where there is an output
// of their own, and never to touch memory outside the operands.
func runOutside(t *testing.T, d kernels.Device) {
	m := newMemory(t, d, 0)
	m.enter("outside")
	defer m.close()
	n := len(outside)
	index := m.Index("index", 0, 1, n)
	copy(cpu.I32(index), outside)
	gather := &kernels.Gather{Table: m.Random("table", 4, 9), Index: index, Y: m.Random("y", n, 9)}
	scatter := &kernels.GatherGrad{DY: m.Fill("dy", func(int) float32 { return 1 }, n, 9), Index: index, DTable: m.Out("dtable", 4, 9)}
	loss := &kernels.SoftmaxXent{Logits: m.Random("logits", n, 4), Target: index, Loss: m.Random("loss", n), Hit: m.Random("hit", n), DLogits: m.Out("dlogits", n, 4)}
	exe, err := d.Compile([]kernels.Op{gather, scatter, loss})
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	if err := exe.Run(&env, nil); err != nil {
		t.Fatal(err)
	}
	for i, at := range outside {
		inside := at >= 0 && at < 4
		if nan(cpu.F32(gather.Y)[i*9+8]) == inside {
			t.Errorf("gather of row %d is %g, want NaN only outside the table", at, cpu.F32(gather.Y)[i*9+8])
		}
		if v := cpu.F32(loss.Loss)[i]; nan(v) == (inside || at == -1) {
			t.Errorf("loss for target %d is %g, want NaN only outside the classes", at, v)
		}
	}
	for i, v := range cpu.F32(scatter.DTable) {
		if row := i / 9; v != [4]float32{1, 0, 0, 1}[row] {
			t.Errorf("gradient of table row %d is %g, want one for each index inside", row, v)
		}
	}
	if msg := m.trespass(); msg != "" {
		t.Error(msg)
	}
}

func nan(v float32) bool { return v != v }
