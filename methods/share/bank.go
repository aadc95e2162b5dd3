package share

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// FoldedBank reports what folding made of one bank.
type FoldedBank struct {
	Name              string
	Layers, Templates int
	Folded            Folded
	Loops             string  // of blocks, such as "3x([0 1])"
	Before, After     int     // numbers stored
	Worst             float64 // largest relative error of a layer's coefficients
	Similarity        float64 // of different layers, mean
}

// FoldTensors folds the banks among the tensors of a network: every pair
// NAME.templates [k, ...] and NAME.coefficients [L, k] becomes one weight a
// cluster, [c, ...], and coefficients [L, c] with one scale a row. Where that
// would be larger, as for a bank that does not repeat, the pair stays. The
// result is a network of the same form with banks of other sizes.
func FoldTensors(all []checkpoint.Tensor, tau float64) ([]checkpoint.Tensor, []FoldedBank, error) {
	byName := map[string]int{}
	for i, t := range all {
		byName[t.Name] = i
	}
	out := append([]checkpoint.Tensor(nil), all...)
	var report []FoldedBank
	for i, t := range all {
		name, ok := strings.CutSuffix(t.Name, templates)
		j, paired := byName[name+coefficients]
		if !ok || !paired {
			continue
		}
		bank, weights, rows, err := foldBank(name, t, all[j], tau)
		if err != nil {
			return nil, nil, fmt.Errorf("fold %s: %w", name, err)
		}
		if bank.After < bank.Before {
			out[i], out[j] = weights, rows
		}
		report = append(report, bank)
	}
	if len(report) == 0 {
		return nil, nil, fmt.Errorf("fold: %s", noBank)
	}
	return out, report, nil
}

func foldBank(name string, t, c checkpoint.Tensor, tau float64) (b FoldedBank, weights, rows checkpoint.Tensor, err error) {
	if len(c.Shape) != 2 || len(t.Shape) < 2 || t.Shape[0] != c.Shape[1] || c.Shape[0] < 1 {
		return b, weights, rows, fmt.Errorf("templates %v and coefficients %v do not belong together", t.Shape, c.Shape)
	}
	layers, k := c.Shape[0], c.Shape[1]
	flat, flatRows := make([]float32, product(t.Shape)), make([]float32, layers*k)
	if err = t.CopyFloat32s(flat); err != nil {
		return
	}
	if err = c.CopyFloat32s(flatRows); err != nil {
		return
	}
	alpha := matrix(flatRows, k)
	f := Fold(alpha, tau)
	merged := Mix(f.Representative, matrix(flat, len(flat)/k))
	n := len(merged)
	out, scales := make([]float32, 0, n*len(merged[0])), make([]float32, layers*n)
	for _, w := range merged {
		for _, v := range w {
			out = append(out, float32(v))
		}
	}
	for l, cl := range f.Cluster {
		scales[l*n+cl] = float32(f.Scale[l])
		b.Worst = max(b.Worst, f.Error[l])
	}
	sum, _ := Recurrence(alpha)
	b.Name, b.Layers, b.Templates, b.Folded = name, layers, k, f
	b.Loops = Text(Loops(Blocks(f.Cluster)))
	b.Similarity = (sum - float64(layers)) / max(1, float64(layers*(layers-1)))
	b.Before, b.After = len(flat)+len(flatRows), len(out)+len(scales)
	weights = checkpoint.Float32s(t.Name, append([]int{n}, t.Shape[1:]...), out)
	rows = checkpoint.Float32s(c.Name, []int{layers, n}, scales)
	return b, weights, rows, nil
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
