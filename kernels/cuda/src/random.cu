// Kernels that draw from the counter generator, with the CPU's bits.
//   dropout        refDropout of kernels/cpu/reference_point.go
//   row_max_abs,
//   fake_quant     fakeQuant of kernels/cpu/quant.go (lowbit.Delta, Noise, Round)
#include "philox.cuh"

// One thread for four elements: the words of one counter.
KERNEL_FN dropout(const Env *env, float *y, const float *x, float p, float scale, unsigned id, int acc, int n) {
  GRID_LOOP(q, (n + 3) / 4) {
    Words w = philox(env->dropout[0], env->dropout[1], (unsigned)q, id, env->shard, env->step);
    for (int k = 0; k < 4 && 4 * q + k < n; k++) {
      int i = 4 * q + k;
      put(&y[i], uniform(w.w[k]) >= p ? __fmul_rn(x[i], scale) : 0.0f, acc);
    }
  }
}

// delta[r] = max|x| of row r / most. One block a row.
KERNEL_FN row_delta(float *delta, const float *x, int cols, float most) {
  const float *row = x + (size_t)blockIdx.x * cols;
  float m = 0;
  BLOCK_LOOP(i, cols) m = fmaxf(m, fabsf(row[i]));
  m = block_max(m);
  if (threadIdx.x == 0) delta[blockIdx.x] = __fdiv_rn(m, most);
}

KERNEL_FN fake_quant(const Env *env, float *y, const float *x, const float *mode, const float *delta,
                     int cols, float most, unsigned id, int n) {
  int how = (int)mode[0];
  GRID_LOOP(i, n) {
    float v = x[i], d = delta[i / cols];
    if (how == 1) {
      Words w = philox(env->activation[0], env->activation[1], (unsigned)(i / 4), id, env->shard, env->step);
      unsigned word = i % 4 == 0 ? w.w[0] : i % 4 == 1 ? w.w[1] : i % 4 == 2 ? w.w[2] : w.w[3];
      float noise = __fadd_rn(__fmul_rn((float)(word >> 9) + 0.5f, 1.0f / (1 << 22)), -1.0f);
      v = __fadd_rn(v, __fmul_rn(__fmul_rn(d, 0.5f), noise));
    } else if (how == 2) {
      float q = __fdiv_rn(v, d);
      q = q != q ? -most : fminf(fmaxf(q, -most), most);
      v = d > 0 ? __fmul_rn(d, rintf(q)) : 0.0f;
    }
    y[i] = v;
  }
}

KERNEL(dropout)
KERNEL(row_delta)
KERNEL(fake_quant)
