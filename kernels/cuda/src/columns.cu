// Sums over the rows of a matrix [n, c], cut in parts of a fixed number of
// rows and folded in the order of the parts: the result follows from the shape
// alone. A block has 32 columns (x) and 8 lanes of rows (y).
//   column_sums, column_fold   refSumRows (reference_linear.go), the sums of
//                              refBatchNormGrad and of column in refLayerNormGrad
//   column_moments, column_statistics   the statistics of refBatchNorm
#include "cuda.cuh"

#define LANES 8

// The lanes' sums, added in their order; valid in lane 0.
INLINE float fold_lanes(float v) {
  __shared__ float lane[LANES][32];
  lane[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  v = lane[0][threadIdx.x];
  for (int k = 1; k < LANES; k++) v += lane[k][threadIdx.x];
  __syncthreads();
  return v;
}

// part[p][j] = (Σg, Σg·x̂) over the rows of part p, with g = dy where y > 0
// (everywhere without y) and x̂ = (x - mean)·inv. Statistics have one entry a
// column or, with by_row, one a row. x null: x̂ = 0; mean null: 0.
KERNEL_FN column_sums(float *part, const float *dy, const float *y, const float *x,
                      const float *mean, const float *inv, int by_row, int n, int c, int rows) {
  int j = blockIdx.x * 32 + threadIdx.x, lo = blockIdx.y * rows, hi = min(n, lo + rows);
  float sum = 0, sum_x = 0;
  if (j < c)
    for (int r = lo + threadIdx.y; r < hi; r += LANES) {
      size_t i = (size_t)r * c + j;
      if (y && y[i] <= 0) continue;
      float g = dy[i];
      sum += g;
      if (x) sum_x += g * ((x[i] - (mean ? mean[by_row ? r : j] : 0.0f)) * inv[by_row ? r : j]);
    }
  sum = fold_lanes(sum);
  sum_x = fold_lanes(sum_x);
  if (j < c && threadIdx.y == 0) {
    float *to = part + 2 * ((size_t)blockIdx.y * c + j);
    to[0] = sum, to[1] = sum_x;
  }
}

// first, second (+)= the sums of all parts; second may be null.
KERNEL_FN column_fold(float *first, float *second, const float *part, int stride, int parts, int acc, int c) {
  GRID_LOOP(j, c) {
    double a = 0, b = 0;
    for (int p = 0; p < parts; p++) {
      const float *from = part + stride * ((size_t)p * c + j);
      a += from[0];
      if (second) b += from[1];
    }
    if (first) first[j] = (float)(acc ? a + first[j] : a);
    if (second) second[j] = (float)(acc ? b + second[j] : b);
  }
}

// part[p][j] = mean and sum of squares around it, from sums shifted by the
// part's first row so that a large mean does not cancel.
KERNEL_FN column_moments(float *part, const float *x, int n, int c, int rows) {
  int j = blockIdx.x * 32 + threadIdx.x, lo = blockIdx.y * rows, hi = min(n, lo + rows);
  float shift = j < c ? x[(size_t)lo * c + j] : 0, sum = 0, squares = 0;
  if (j < c)
    for (int r = lo + threadIdx.y; r < hi; r += LANES) {
      float d = x[(size_t)r * c + j] - shift;
      sum += d;
      squares += d * d;
    }
  sum = fold_lanes(sum);
  squares = fold_lanes(squares);
  if (j < c && threadIdx.y == 0) {
    float *to = part + 2 * ((size_t)blockIdx.y * c + j), m = sum / (hi - lo);
    to[0] = shift + m, to[1] = fmaxf(squares - sum * m, 0.0f);
  }
}

// Moments of all parts merged in order (Chan, Golub, LeVeque 1979).
KERNEL_FN column_statistics(float *mean, float *var, float *inv, const float *part, int n, int rows,
                            int parts, float eps, int c) {
  GRID_LOOP(j, c) {
    double count = 0, mu = 0, squares = 0;
    for (int p = 0; p < parts; p++) {
      const float *from = part + 2 * ((size_t)p * c + j);
      double m = min(rows, n - p * rows), d = from[0] - mu, total = count + m;
      mu += d * m / total;
      squares += from[1] + d * d * count * m / total;
      count = total;
    }
    double v = squares / n;
    mean[j] = (float)mu, var[j] = (float)v, inv[j] = (float)(1 / sqrt(v + eps));
  }
}

KERNEL(column_sums)
KERNEL(column_fold)
KERNEL(column_moments)
KERNEL(column_statistics)
