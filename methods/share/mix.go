package share

// Mix returns W_l = Σ_j α_lj T_j for every row l of alpha [L][k]; templates
// are [k][n] (equation 1).
func Mix(alpha, templates [][]float64) [][]float64 {
	w := make([][]float64, len(alpha))
	for l, row := range alpha {
		w[l] = make([]float64, len(templates[0]))
		for j, a := range row {
			for i, t := range templates[j] {
				w[l][i] += a * t
			}
		}
	}
	return w
}

// Unmix returns the gradients of templates and coefficients from those of the
// layers' weights [L][n]: dT_j = Σ_l α_lj gW_l and dα_lj = ⟨T_j, gW_l⟩.
func Unmix(alpha, templates, grad [][]float64) (dTemplates, dAlpha [][]float64) {
	dTemplates, dAlpha = zeros(len(templates), len(templates[0])), zeros(len(alpha), len(templates))
	for l, row := range alpha {
		for j, a := range row {
			for i, g := range grad[l] {
				dTemplates[j][i] += a * g
				dAlpha[l][j] += templates[j][i] * g
			}
		}
	}
	return dTemplates, dAlpha
}

func zeros(rows, cols int) [][]float64 {
	m := make([][]float64, rows)
	for i := range m {
		m[i] = make([]float64, cols)
	}
	return m
}

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
