// Optimizer steps and norms of many parameters in one launch. Each equals the
// loop of its op in kernels/cpu: refSGD (with dampening and per-block first
// steps: CSGD), refAdam (Adam, AdamW), refBlockSquares of reference_optim.go;
// refAvaGrad, refRateSquares, refAdaBound of reference_adaptive.go.
//
// A launch works on a table of parameters, cut in chunks of 4096 entries; a
// block takes one chunk. Learning rates and ages are those of the block of
// growth that an entry belongs to (kernels.Blocks).
#include "cuda.cuh"

#define CHUNK_ENTRIES 4096

// optim.go has the same layout.
struct Param {
  float *w, *g, *m, *v, *top;
  const int *row_block, *col_block; // null: all 0
  const float *rates;               // by block, like those below
  const float *a, *b, *c, *d;       // SGD: first. Adam, AvaGrad: corr1, corr2. AdaBound: beta1, scale, lower, upper
  const float *gamma;               // one number or null
  double *part;                     // sums by chunk and block
  float *out;
  float beta1, damp, beta2, eps, decay, lo, hi;
  int flag, cols, blocks, n;
  int unused;
};

INLINE int block_of(const Param &p, int i) {
  int row = p.row_block ? p.row_block[i / p.cols] : 0, col = p.col_block ? p.col_block[i % p.cols] : 0;
  return max(row, col);
}

// The entries of the running block's chunk, one by one.
#define CHUNK_LOOP(p, i)                                                                    \
  const Param p = params[chunks[2 * blockIdx.x]];                                          \
  int chunk_lo = chunks[2 * blockIdx.x + 1], chunk_hi = min(p.n, chunk_lo + CHUNK_ENTRIES); \
  for (int i = chunk_lo + threadIdx.x; i < chunk_hi; i += blockDim.x)

KERNEL_FN sgd(const Env *env, const Param *params, const int *chunks) {
  CHUNK_LOOP(p, i) {
    int b = block_of(p, i);
    float w = p.w[i], g = env->grad_factor * p.g[i] + p.decay * env->weight_decay * w, step = g;
    if (p.m) {
      float move = p.a && p.a[b] != 0 ? g : p.beta1 * p.m[i] + (1 - p.damp) * g;
      p.m[i] = move;
      step = p.flag ? g + p.beta1 * move : move; // flag: Nesterov
    }
    p.w[i] = w - env->rate * p.rates[b] * step;
  }
}

// flag of those below: decoupled decay.
KERNEL_FN adam(const Env *env, const Param *params, const int *chunks) {
  CHUNK_LOOP(p, i) {
    int b = block_of(p, i);
    float w = p.w[i], g = env->grad_factor * p.g[i], decay = p.decay * env->weight_decay * w;
    if (!p.flag) g += decay;
    float m = p.beta1 * p.m[i] + (1 - p.beta1) * g, v = p.beta2 * p.v[i] + (1 - p.beta2) * g * g;
    p.m[i] = m, p.v[i] = v;
    float step = m * p.a[b] / (sqrtf(v * p.b[b]) + p.eps);
    if (p.flag) step += decay;
    p.w[i] = w - env->rate * p.rates[b] * step;
  }
}

// The step divides by the root of v as it was before.
KERNEL_FN avagrad(const Env *env, const Param *params, const int *chunks) {
  CHUNK_LOOP(p, i) {
    int b = block_of(p, i);
    float w = p.w[i], g = env->grad_factor * p.g[i], decay = p.decay * env->weight_decay * w;
    if (!p.flag) g += decay, decay = 0;
    float m = p.beta1 * p.m[i] + (1 - p.beta1) * g, v = p.v[i];
    p.m[i] = m, p.v[i] = p.beta2 * v + (1 - p.beta2) * g * g;
    float step = p.a[b] * m / (p.b[b] * sqrtf(v) + p.eps);
    if (p.gamma) step *= p.gamma[0];
    p.w[i] = w - env->rate * p.rates[b] * (step + decay);
  }
}

// x within [lo, hi]; NaN stays NaN, which fminf and fmaxf would hide.
INLINE float clip(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

KERNEL_FN adabound(const Env *env, const Param *params, const int *chunks) {
  CHUNK_LOOP(p, i) {
    int b = block_of(p, i);
    float w = p.w[i], g = env->grad_factor * p.g[i], decay = p.decay * env->weight_decay * w;
    if (!p.flag) g += decay, decay = 0;
    float m = p.a[b] * p.m[i] + (1 - p.a[b]) * g, v = p.beta2 * p.v[i] + (1 - p.beta2) * g * g;
    p.m[i] = m, p.v[i] = v;
    if (p.top) p.top[i] = v = p.top[i] > v ? p.top[i] : v;
    float rate = clip(p.b[b] / (sqrtf(v) + p.eps), p.c[b], p.d[b]);
    w -= decay + env->rate * p.rates[b] * rate * m;
    if (p.lo != 0 || p.hi != 0) w = clip(w, p.lo, p.hi);
    p.w[i] = w;
  }
}

// What is summed of entry i of block b: the square of the weight, or with a
// correction a (by block) that of AvaGrad's rate.
INLINE double square(const Param &p, int i, int b) {
  float x = p.a ? 1 / (p.a[b] * sqrtf(p.v[i]) + p.eps) : p.w[i];
  return (double)x * x;
}

// part[chunk][block] = the sum over the chunk's entries of the block.
KERNEL_FN chunk_squares(const Param *params, const int *chunks) {
  const int blocks = params[chunks[2 * blockIdx.x]].blocks;
  for (int b = 0; b < blocks; b++) {
    double sum = 0;
    CHUNK_LOOP(p, i) if (blocks == 1 || block_of(p, i) == b) sum += square(p, i, b);
    sum = block_sum(sum);
    if (threadIdx.x == 0) p.part[(size_t)(chunk_lo / CHUNK_ENTRIES) * blocks + b] = sum;
  }
}

// out[block] = the sum of all chunks, in an order of their number alone; with
// pair, as the sum of two floats. One warp each: grid (parameters, most blocks).
KERNEL_FN fold_squares(const Param *params, int pair) {
  const Param p = params[blockIdx.x];
  int b = blockIdx.y, chunks = (p.n + CHUNK_ENTRIES - 1) / CHUNK_ENTRIES;
  if (b >= p.blocks) return;
  double sum = 0;
  for (int k = threadIdx.x; k < chunks; k += 32) sum += p.part[(size_t)k * p.blocks + b];
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  if (!pair) {
    p.out[b] = (float)sum;
    return;
  }
  float first = (float)sum;
  double rest = sum - first;
  p.out[2 * b] = first;
  p.out[2 * b + 1] = rest - rest == 0 || rest != rest ? (float)rest : 0.0f; // of infinity nothing is left
}

KERNEL(sgd)
KERNEL(adam)
KERNEL(avagrad)
KERNEL(adabound)
KERNEL(chunk_squares)
KERNEL(fold_squares)
