// Normalisation. Each kernel equals a loop of kernels/cpu/reference_norm.go:
//   batch_norm              the output of refBatchNorm, fused with add and ReLU
//   batch_norm_infer        refBatchNormInfer
//   batch_norm_grad         DX and DResidual of refBatchNormGrad
//   layer_norm, layer_norm_grad   refLayerNorm, row of refLayerNormGrad
// Statistics and sums over rows are in columns.cu.
#include "cuda.cuh"

// inv holds 1/σ. residual may be null.
KERNEL_FN batch_norm(float *y, const float *x, const float *gamma, const float *beta, const float *mean,
                     const float *inv, const float *residual, int relu, int c, int n) {
  GRID_LOOP(i, n) {
    int j = i % c;
    float v = gamma[j] * ((x[i] - mean[j]) * inv[j]) + beta[j];
    if (residual) v += residual[i];
    y[i] = relu && v < 0 ? 0 : v;
  }
}

KERNEL_FN batch_norm_infer(float *y, const float *x, const float *gamma, const float *beta, const float *mean,
                           const float *var, const float *residual, int relu, float eps, int c, int n) {
  GRID_LOOP(i, n) {
    int j = i % c;
    float v = gamma[j] * ((x[i] - mean[j]) / sqrtf(var[j] + eps)) + beta[j];
    if (residual) v += residual[i];
    y[i] = relu && v < 0 ? 0 : v;
  }
}

// y is null without ReLU. dresidual may be null or dy itself.
KERNEL_FN batch_norm_grad(float *dx, float *dresidual, const float *x, const float *y, const float *dy,
                          const float *gamma, const float *mean, const float *inv, const float *dgamma,
                          const float *dbeta, int acc_residual, int rows, int c) {
  GRID_LOOP(i, rows * c) {
    int j = i % c;
    float g = y && y[i] <= 0 ? 0 : dy[i], normal = (x[i] - mean[j]) * inv[j];
    dx[i] = gamma[j] * inv[j] * (g - dbeta[j] / rows - normal * (dgamma[j] / rows));
    if (dresidual) put(&dresidual[i], g, acc_residual);
  }
}

// One block a row. mean and beta are null for RMS normalisation.
KERNEL_FN layer_norm(float *y, float *mean, float *inv, const float *x, const float *gamma, const float *beta,
                     int c, float eps) {
  size_t at = (size_t)blockIdx.x * c;
  float mu = 0, squares = 0;
  if (mean) {
    BLOCK_LOOP(j, c) mu += x[at + j];
    mu = block_sum(mu) / c;
  }
  BLOCK_LOOP(j, c) {
    float d = x[at + j] - mu;
    squares += d * d;
  }
  float is = 1 / sqrtf(block_sum(squares) / c + eps);
  if (threadIdx.x == 0) {
    if (mean) mean[blockIdx.x] = mu;
    inv[blockIdx.x] = is;
  }
  BLOCK_LOOP(j, c) {
    float v = gamma[j] * ((x[at + j] - mu) * is);
    y[at + j] = beta ? v + beta[j] : v;
  }
}

KERNEL_FN layer_norm_grad(float *dx, const float *x, const float *dy, const float *gamma, const float *mean,
                          const float *inv, int c, int acc) {
  size_t at = (size_t)blockIdx.x * c;
  float mu = mean ? mean[blockIdx.x] : 0, is = inv[blockIdx.x], sum = 0, sum_x = 0;
  BLOCK_LOOP(j, c) {
    float g = gamma[j] * dy[at + j];
    sum += g;
    sum_x += g * ((x[at + j] - mu) * is);
  }
  sum = mean ? block_sum(sum) / c : 0;
  sum_x = block_sum(sum_x) / c;
  BLOCK_LOOP(j, c) {
    float g = gamma[j] * dy[at + j];
    put(&dx[at + j], (g - sum - (x[at + j] - mu) * is * sum_x) * is, acc);
  }
}

KERNEL(batch_norm)
KERNEL(batch_norm_infer)
KERNEL(batch_norm_grad)
KERNEL(layer_norm)
KERNEL(layer_norm_grad)
