// Softmax and cross-entropy, one block a row of k classes: refSoftmax,
// refSoftmaxGrad and refSoftmaxXent of kernels/cpu/reference_softmax.go.
#include "cuda.cuh"

// The first of the largest numbers of a row and its place. Every thread gets
// both. A row of NaN alone has no place: INT_MAX.
INLINE float row_largest(const float *z, int k, int *place) {
  __shared__ float values[32];
  __shared__ int places[32];
  float best = -INF;
  int at = 0x7fffffff;
  BLOCK_LOOP(j, k) if (z[j] > best || (z[j] == best && j < at)) best = z[j], at = j;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int half = 0; half < 2; half++) {
    for (int d = 16; d > 0; d >>= 1) {
      float v = __shfl_xor_sync(FULL_WARP, best, d);
      int p = __shfl_xor_sync(FULL_WARP, at, d);
      if (v > best || (v == best && p < at)) best = v, at = p;
    }
    if (half) break;
    if (lane == 0) values[warp] = best, places[warp] = at;
    __syncthreads();
    int w = lane < (int)(blockDim.x >> 5) ? lane : 0;
    best = values[w], at = places[w];
    __syncthreads();
  }
  *place = at;
  return best;
}

KERNEL_FN softmax(float *y, const float *x, int k) {
  const float *z = x + (size_t)blockIdx.x * k;
  float *to = y + (size_t)blockIdx.x * k, sum = 0;
  int place;
  float top = row_largest(z, k, &place);
  BLOCK_LOOP(j, k) sum += expf(z[j] - top);
  sum = block_sum(sum);
  BLOCK_LOOP(j, k) to[j] = expf(z[j] - top) / sum;
}

KERNEL_FN softmax_grad(float *dx, const float *y, const float *dy, int k, int acc) {
  size_t at = (size_t)blockIdx.x * k;
  float sum = 0;
  BLOCK_LOOP(j, k) sum += y[at + j] * dy[at + j];
  sum = block_sum(sum);
  BLOCK_LOOP(j, k) put(&dx[at + j], y[at + j] * (dy[at + j] - sum), acc);
}

// A target of -1 does not count; any other outside [0, k) makes the loss NaN.
// dlogits may be null.
KERNEL_FN softmax_xent(const Env *env, float *loss, float *hit, float *dlogits, const float *logits,
                       const int *target, int k, float smooth) {
  const float *z = logits + (size_t)blockIdx.x * k;
  int t = target[blockIdx.x], place, known = t >= 0 && t < k;
  float top = row_largest(z, k, &place), sum = 0, all = 0, scale = t == -1 ? 0.0f : env->grad_scale;
  BLOCK_LOOP(j, k) {
    sum += expf(z[j] - top);
    all += z[j] - top;
  }
  sum = block_sum(sum);
  all = block_sum(all);
  if (threadIdx.x == 0) {
    float cross = t == -1 ? 0.0f : NOT_A_NUMBER;
    if (known) cross = logf(sum) - (1 - smooth) * (z[t] - top) - (smooth > 0 ? smooth / k * all : 0.0f);
    loss[blockIdx.x] = cross;
    hit[blockIdx.x] = place == t ? 1.0f : 0.0f;
  }
  if (!dlogits) return;
  BLOCK_LOOP(j, k) {
    float q = smooth / k + (j == t ? 1 - smooth : 0.0f);
    dlogits[(size_t)blockIdx.x * k + j] = scale * (expf(z[j] - top) / sum - q);
  }
}

KERNEL(softmax)
KERNEL(softmax_grad)
KERNEL(softmax_xent)
