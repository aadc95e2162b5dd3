package share

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Method pushes layers of a bank towards each other and reports how similar
// they are. It is used by one goroutine.
type Method struct {
	lambda float64
}

// New returns a method that subtracts lambda·Σ_ij S_ij of every bank from the
// objective, through the gradient of its coefficients; the reported loss is
// that of the data alone. With lambda 0 it only reports.
func New(lambda float64) (*Method, error) {
	if !(lambda >= 0 && lambda <= 1e3) {
		return nil, fmt.Errorf("share: recurrence %v: want 0 to 1000", lambda)
	}
	return &Method{lambda}, nil
}

// Name is "share".
func (m *Method) Name() string { return "share" }

// On adds the gradient when that of the data is summed, equally on every rank,
// and notes the similarities at the end of the run.
func (m *Method) On(e trainer.Event, r *trainer.Run) error {
	switch e {
	case trainer.Reduced:
		if m.lambda > 0 {
			return m.push(r)
		}
	case trainer.Finished:
		return m.note(r)
	}
	return nil
}

// Changes is never: a boundary changes nothing.
func (m *Method) Changes(uint64) bool { return false }

// push adds -lambda ∂ΣS/∂α to the gradients of all coefficients.
func (m *Method) push(r *trainer.Run) error {
	banks := Coefficients(r.Graph())
	if len(banks) == 0 {
		return fmt.Errorf("share: %s", noBank)
	}
	for _, p := range banks {
		alpha, err := Rows(r.Device(), p)
		if err != nil {
			return err
		}
		_, grad := Recurrence(alpha)
		g := make([]float32, p.G.Len())
		if err := r.Device().ReadF32(p.G, g); err != nil {
			return fmt.Errorf("share: gradient of %s: %w", p.Name, err)
		}
		k := len(alpha[0])
		for i := range g {
			g[i] = float32(float64(g[i]) - m.lambda*grad[i/k][i%k])
		}
		if err := r.Device().WriteF32(p.G, g); err != nil {
			return fmt.Errorf("share: gradient of %s: %w", p.Name, err)
		}
	}
	return nil
}

const noBank = "the network has no bank of templates; use a model such as swrn-28-10-2"

func (m *Method) note(r *trainer.Run) error {
	for _, p := range Coefficients(r.Graph()) {
		alpha, err := Rows(r.Device(), p)
		if err != nil {
			return err
		}
		sum, _ := Recurrence(alpha)
		n := float64(len(alpha))
		f := Fold(alpha, DefaultTau)
		r.Measure("similarity "+bankName(p), (sum-n)/max(1, n*(n-1)))
		r.Note("share", fmt.Sprintf("%s: mean similarity of layers %.3f; at %.2f they fold to %s", bankName(p), (sum-n)/max(1, n*(n-1)), DefaultTau, Text(Loops(Blocks(f.Cluster)))))
	}
	return nil
}

// DefaultTau is the similarity from which on layers are folded.
const DefaultTau = 0.95

// Save and Load keep nothing: coefficients are parameters.
func (m *Method) Save() (json.RawMessage, error) { return nil, nil }
func (m *Method) Load(json.RawMessage) error     { return nil }

const (
	coefficients = ".coefficients"
	templates    = ".templates"
)

// Coefficients are the parameters that hold the coefficients [L, k] of a
// network's banks.
func Coefficients(g *graph.Graph) (all []*graph.Param) {
	for _, p := range g.Params() {
		if strings.HasSuffix(p.Name, coefficients) && p.Init == graph.InitOrtho {
			all = append(all, p)
		}
	}
	return all
}

func bankName(p *graph.Param) string { return strings.TrimSuffix(p.Name, coefficients) }

// Rows reads the coefficients of a bank.
func Rows(dev kernels.Device, p *graph.Param) ([][]float64, error) {
	flat := make([]float32, p.W.Len())
	if err := dev.ReadF32(p.W, flat); err != nil {
		return nil, fmt.Errorf("share: %s: %w", p.Name, err)
	}
	return matrix(flat, p.W.Shape[1]), nil
}

func matrix(flat []float32, cols int) [][]float64 {
	m := zeros(len(flat)/cols, cols)
	for i, v := range flat {
		m[i/cols][i%cols] = float64(v)
	}
	return m
}
