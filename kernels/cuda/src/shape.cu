// Kernels that move data or reduce along one axis. Each equals the op's loop
// in kernels/cpu: refTranspose, refSlab, refReduce, refExpand, refChannelMap
// and refChannelMapGrad of reference_shape.go, refGlobalPool and
// refGlobalPoolGrad of reference_pool.go.
#include "cuda.cuh"

#define TILE 32

// x [batch, rows, cols] to y [batch, cols, rows] through shared memory, so
// that reads and writes are both in order. Block (32, 8), grid over tiles.
KERNEL_FN transpose_tiled(float *y, const float *x, int rows, int cols, int acc) {
  __shared__ float tile[TILE][TILE + 1];
  size_t base = (size_t)blockIdx.z * rows * cols;
  int r0 = blockIdx.y * TILE, c0 = blockIdx.x * TILE;
  for (int k = threadIdx.y; k < TILE; k += blockDim.y) {
    int r = r0 + k, c = c0 + threadIdx.x;
    if (r < rows && c < cols) tile[k][threadIdx.x] = x[base + (size_t)r * cols + c];
  }
  __syncthreads();
  for (int k = threadIdx.y; k < TILE; k += blockDim.y) {
    int c = c0 + k, r = r0 + threadIdx.x;
    if (r < rows && c < cols) put(&y[base + (size_t)c * rows + r], tile[threadIdx.x][k], acc);
  }
}

// Any permutation: axes holds y's sizes, then the distance in x of neighbours
// along each of y's axes.
KERNEL_FN transpose(float *y, const float *x, const int *axes, int rank, int acc, int n) {
  GRID_LOOP(i, n) {
    int rest = i, from = 0;
    for (int a = rank - 1; a >= 0; a--) {
      from += rest % axes[a] * axes[rank + a];
      rest /= axes[a];
    }
    put(&y[i], x[from], acc);
  }
}

// y[outer, to+k, inner] (+)= x[outer, from+k, inner], k < len; n elements.
KERNEL_FN slab(float *y, const float *x, int nx, int ny, int from, int to, int len, int inner, int acc, int n) {
  GRID_LOOP(i, n) {
    int j = i % inner, k = i / inner % len, o = i / inner / len;
    put(&y[((size_t)o * ny + to + k) * inner + j], x[((size_t)o * nx + from + k) * inner + j], acc);
  }
}

// Sums over the middle axis of x [outer, len, inner], one thread an output.
KERNEL_FN reduce_axis(float *y, const float *x, int len, int inner, float divisor, int n) {
  GRID_LOOP(i, n) {
    const float *from = x + (size_t)(i / inner) * len * inner + i % inner;
    float sum = 0;
    for (int k = 0; k < len; k++) sum += from[(size_t)k * inner];
    y[i] = sum / divisor;
  }
}

// The same with inner = 1, one block an output.
KERNEL_FN reduce_rows(float *y, const float *x, int len, float divisor) {
  const float *row = x + (size_t)blockIdx.x * len;
  float sum = 0;
  BLOCK_LOOP(k, len) sum += row[k];
  sum = block_sum(sum);
  if (threadIdx.x == 0) y[blockIdx.x] = sum / divisor;
}

// y [outer, len, inner] (+)= alpha·x [outer, inner].
KERNEL_FN expand(float *y, const float *x, int len, int inner, float alpha, int acc, int n) {
  GRID_LOOP(i, n) put(&y[i], alpha * x[i / inner / len * inner + i % inner], acc);
}

// y [n,oh,ow,k] takes channel map[k] of x [n,h,w,c] at the stride, or 0.
KERNEL_FN channel_map(float *y, const float *x, const int *map, int h, int w, int c, int oh, int ow, int k,
                      int stride, int n) {
  GRID_LOOP(i, n) {
    int p = i / k, m = map[i % k];
    int row = (p / (oh * ow) * h + p / ow % oh * stride) * w + p % ow * stride;
    y[i] = m >= 0 ? x[(size_t)row * c + m] : 0.0f;
  }
}

// back is the map's inverse: the output channel of each input channel, or -1.
KERNEL_FN channel_map_grad(float *dx, const float *dy, const int *back, int h, int w, int c, int oh, int ow,
                           int k, int stride, int acc, int n) {
  GRID_LOOP(i, n) {
    int p = i / c, m = back[i % c], row = p / w % h, col = p % w;
    float g = 0;
    if (m >= 0 && row % stride == 0 && col % stride == 0)
      g = dy[(((size_t)(p / (h * w)) * oh + row / stride) * ow + col / stride) * k + m];
    put(&dx[i], g, acc);
  }
}

KERNEL(transpose_tiled)
KERNEL(transpose)
KERNEL(slab)
KERNEL(reduce_axis)
KERNEL(reduce_rows)
KERNEL(expand)
KERNEL(channel_map)
KERNEL(channel_map_grad)
