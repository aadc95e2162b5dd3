// Convolution of NHWC images without a library: refConv, refConvInput and
// refConvWeight of kernels/cpu/reference_conv.go. The fallback where cuDNN is
// missing: direct loops, right for every geometry, not fast.
#include "activation.cuh"
#include "window.cuh"

struct Geometry { int n, h, w, c, oh, ow, k, kh, kw, cg, kg, stride, pad, groups; };

// One thread an output element.
KERNEL_FN conv(float *y, const float *x, const float *weights, const float *bias, const Geometry *geometry, int act) {
  Geometry g = *geometry;
  GRID_LOOP(i, g.n * g.oh * g.ow * g.k) {
    int p = i / g.k, k = i % g.k, row = p / g.ow % g.oh, col = p % g.ow;
    const float *image = x + (size_t)(p / (g.oh * g.ow)) * g.h * g.w * g.c + k / g.kg * g.cg;
    float sum = 0;
    for (int t = 0; t < g.kh * g.kw; t++) {
      int r = window_in(row, t / g.kw, g.stride, g.pad, g.h), q = window_in(col, t % g.kw, g.stride, g.pad, g.w);
      if (r < 0 || q < 0) continue;
      const float *in = image + ((size_t)r * g.w + q) * g.c, *w = weights + (size_t)t * g.cg * g.k + k;
      for (int c = 0; c < g.cg; c++) sum += in[c] * w[(size_t)c * g.k];
    }
    y[i] = activate(act, bias ? sum + bias[k] : sum);
  }
}

// One thread an input element.
KERNEL_FN conv_input(float *dx, const float *dy, const float *weights, const Geometry *geometry, int acc) {
  Geometry g = *geometry;
  GRID_LOOP(i, g.n * g.h * g.w * g.c) {
    int p = i / g.c, c = i % g.c, row = p / g.w % g.h, col = p % g.w, k0 = c / g.cg * g.kg;
    const float *image = dy + (size_t)(p / (g.h * g.w)) * g.oh * g.ow * g.k + k0;
    float sum = 0;
    for (int t = 0; t < g.kh * g.kw; t++) {
      int r = window_out(row, t / g.kw, g.stride, g.pad, g.oh), q = window_out(col, t % g.kw, g.stride, g.pad, g.ow);
      if (r < 0 || q < 0) continue;
      const float *out = image + ((size_t)r * g.ow + q) * g.k;
      const float *w = weights + ((size_t)t * g.cg + c % g.cg) * g.k + k0;
      for (int k = 0; k < g.kg; k++) sum += out[k] * w[k];
    }
    put(&dx[i], sum, acc);
  }
}

// part[z] = the weight gradient of the output pixels [z·pixels, (z+1)·pixels);
// column_fold adds the parts. Block (32 outputs, 8 lanes of pixels), grid
// (kh·kw·cg, k/32, parts).
KERNEL_FN conv_weight(float *part, const float *x, const float *dy, const Geometry *geometry, int pixels) {
  __shared__ float lanes[8][32];
  Geometry g = *geometry;
  int k = blockIdx.y * 32 + threadIdx.x, t = blockIdx.x / g.cg, c = blockIdx.x % g.cg;
  int lo = blockIdx.z * pixels, hi = min(g.n * g.oh * g.ow, lo + pixels);
  float sum = 0;
  if (k < g.k)
    for (int p = lo + threadIdx.y; p < hi; p += 8) {
      int r = window_in(p / g.ow % g.oh, t / g.kw, g.stride, g.pad, g.h);
      int q = window_in(p % g.ow, t % g.kw, g.stride, g.pad, g.w);
      if (r < 0 || q < 0) continue;
      size_t pixel = ((size_t)(p / (g.oh * g.ow)) * g.h + r) * g.w + q;
      sum += x[pixel * g.c + k / g.kg * g.cg + c] * dy[(size_t)p * g.k + k];
    }
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || k >= g.k) return;
  for (int l = 1; l < 8; l++) sum += lanes[l][threadIdx.x];
  part[((size_t)blockIdx.z * gridDim.x + blockIdx.x) * g.k + k] = sum;
}

KERNEL(conv)
KERNEL(conv_input)
KERNEL(conv_weight)
