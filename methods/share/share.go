// Package share looks into networks whose layers share their weights softly:
// every layer mixes its weight from a bank of templates (nn.Bank, models
// swrn-D-W-K), W_l = Σ_j α_lj T_j, and layers with parallel rows of α are the
// same layer up to a factor (Savarese and Maire, "Learning Implicitly
// Recurrent CNNs Through Parameter Sharing", ICLR 2019, arXiv 1902.09701).
//
//	s := share.Similarity(alpha)            // [L][L], 1 where two layers are one
//	f := share.Fold(alpha, 0.95)            // which layers become one, and their factors
//	loops := share.Loops(f.Cluster)         // the body that repeats, and how often
//
// The parts, each usable alone: the arithmetic of a mix (mix.go), similarity
// and the push towards recurrence (similarity.go, method.go), folding
// (fold.go, bank.go) and loops (loops.go). Package grid is the paper's
// algorithmic task.
//
// Promises: what is written here is plain arithmetic in float64 with a fixed
// order of summation; equal inputs give equal bits on every rank.
//
// Left to others: training banks, which is the graph's differentiation as for
// any parameter, and their models (trainer/nn, trainer/models).
package share
