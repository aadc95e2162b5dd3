// Embeddings: refGather and refGatherGrad of kernels/cpu/reference_shape.go.
#include "cuda.cuh"

// The row of an index outside the table is NaN.
KERNEL_FN gather(float *y, const float *table, const int *index, int v, int d, int n) {
  GRID_LOOP(i, n) {
    int at = index[i / d];
    y[i] = at >= 0 && at < v ? table[(size_t)at * d + i % d] : NOT_A_NUMBER;
  }
}

// dtable[index[i]] += dy[i] in the order of i: the bits of the reference. The
// block of the first i of each index adds all rows of that index; blocks of
// later ones find that they are not first and end. Needs 256 threads.
KERNEL_FN gather_grad(float *dtable, const float *dy, const int *index, int v, int d, int n) {
  __shared__ unsigned match[8];
  int first = blockIdx.x, at = index[first], earlier = 0;
  if (at < 0 || at >= v) return;
  BLOCK_LOOP(j, first) earlier |= index[j] == at;
  if (__syncthreads_or(earlier)) return;
  float *row = dtable + (size_t)at * d;
  for (int base = first; base < n; base += 256) {
    int j = base + threadIdx.x;
    unsigned lanes = __ballot_sync(FULL_WARP, j < n && index[j] == at);
    if ((threadIdx.x & 31) == 0) match[threadIdx.x >> 5] = lanes;
    __syncthreads();
    for (int w = 0; w < 8; w++)
      for (unsigned m = match[w]; m; m &= m - 1) {
        const float *from = dy + (size_t)(base + 32 * w + __ffs(m) - 1) * d;
        BLOCK_LOOP(c, d) row[c] += from[c];
      }
    __syncthreads();
  }
}

KERNEL(gather)
KERNEL(gather_grad)
