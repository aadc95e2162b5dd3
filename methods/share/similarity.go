package share

import "math"

// Similarity returns S_ij = |⟨α_i, α_j⟩| / (|α_i| |α_j|) for the rows of alpha
// [L][k]: the layer similarity matrix, symmetric, within [0, 1], 1 on the
// diagonal. A row of zeros is similar to nothing but itself. S depends on the
// choice of templates: mixing them by a matrix that is not orthogonal changes
// it although no weight changes.
func Similarity(alpha [][]float64) [][]float64 {
	u := directions(alpha)
	s := zeros(len(alpha), len(alpha))
	for i := range s {
		s[i][i] = 1
		for j := range i {
			s[i][j] = math.Min(1, math.Abs(dot(u[i], u[j])))
			s[j][i] = s[i][j]
		}
	}
	return s
}

// Recurrence returns Σ_ij S_ij and its gradient by alpha. That of row i is
// orthogonal to the row:
//
//	2/|α_i| Σ_{j≠i} sign(c_ij) (u_j - c_ij u_i),  u_i = α_i/|α_i|,  c_ij = ⟨u_i, u_j⟩
//
// Rows that are exactly orthogonal do not attract each other.
func Recurrence(alpha [][]float64) (sum float64, grad [][]float64) {
	u := directions(alpha)
	grad = zeros(len(alpha), len(alpha[0]))
	for i, row := range alpha {
		sum++
		norm := math.Sqrt(dot(row, row))
		for j := range alpha {
			if j == i || norm == 0 {
				continue
			}
			c := dot(u[i], u[j])
			sum += math.Abs(c)
			for k := range row {
				grad[i][k] += 2 / norm * sign(c) * (u[j][k] - c*u[i][k])
			}
		}
	}
	return sum, grad
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// directions are the rows at length 1; a row of zeros stays.
func directions(alpha [][]float64) [][]float64 {
	u := zeros(len(alpha), len(alpha[0]))
	for i, row := range alpha {
		norm := math.Sqrt(dot(row, row))
		if norm == 0 {
			continue
		}
		for k, a := range row {
			u[i][k] = a / norm
		}
	}
	return u
}
