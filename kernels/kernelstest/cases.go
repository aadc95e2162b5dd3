package kernelstest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/espalier-ml/espalier/kernels"
)

// Cases lists all cases. Names start with the op.
var Cases = sync.OnceValue(func() []Case {
	var s suite
	s.matmul()
	s.sums()
	s.conv()
	s.batchNorm()
	s.layerNorm()
	s.softmax()
	s.point()
	s.dropout()
	s.shape()
	s.gather()
	s.pool()
	s.channelMap()
	s.attention()
	s.lstm()
	s.optimizers()
	s.lists()
	return s.cases
})

// suite collects cases.
type suite struct{ cases []Case }

func (s *suite) add(name string, ops func(m *Memory) []kernels.Op) {
	s.cases = append(s.cases, Case{Name: name, Ops: ops})
}

// list adds a chain of ops.
func (s *suite) list(name string, ops func(m *Memory) []kernels.Op) {
	s.cases = append(s.cases, Case{Name: "list " + name, Ops: ops, floor: chained})
}

// one adds a case of a single op.
func (s *suite) one(name string, op func(m *Memory) kernels.Op) {
	s.add(name, func(m *Memory) []kernels.Op { return []kernels.Op{op(m)} })
}

// dims writes a shape the way case names do.
func dims(shape ...int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]")
}

// flags joins the names of the attributes that are set.
func flags(set ...any) string {
	var b strings.Builder
	for i := 0; i < len(set); i += 2 {
		if set[i+1].(bool) {
			b.WriteString(" " + set[i].(string))
		}
	}
	return b.String()
}

var both = []bool{false, true}

var acts = []kernels.Act{kernels.NoAct, kernels.ReLU, kernels.GELU, kernels.SiLU, kernels.Tanh, kernels.Sigmoid}
