// Pooling of NHWC images: refPool and refPoolGrad of
// kernels/cpu/reference_pool.go.
#include "window.cuh"

// where may be null; it is for maxima.
KERNEL_FN pool(float *y, unsigned char *where, const float *x, int maximum, int h, int w, int c, int oh, int ow,
               int window, int stride, int pad, int n) {
  GRID_LOOP(i, n) {
    int p = i / c, row = p / ow % oh, col = p % ow, tap = -1;
    const float *image = x + (size_t)(p / (oh * ow)) * h * w * c + i % c;
    float v = 0;
    for (int t = 0; t < window * window; t++) {
      int r = window_in(row, t / window, stride, pad, h), q = window_in(col, t % window, stride, pad, w);
      if (r < 0 || q < 0) continue;
      float in = image[((size_t)r * w + q) * c];
      if (!maximum) v += in;
      else if (tap < 0 || in > v) v = in, tap = t;
    }
    if (!maximum)
      v /= window_taps(row, window, stride, pad, h) * window_taps(col, window, stride, pad, w);
    y[i] = v;
    if (where) where[i] = (unsigned char)tap;
  }
}

// Collects, for every input, from the windows that hold it.
KERNEL_FN pool_grad(float *dx, const unsigned char *where, const float *dy, int maximum, int h, int w, int c,
                    int oh, int ow, int window, int stride, int pad, int acc, int n) {
  GRID_LOOP(i, n) {
    int p = i / c, row = p / w % h, col = p % w;
    size_t image = (size_t)(p / (h * w)) * oh * ow;
    float sum = 0;
    for (int t = 0; t < window * window; t++) {
      int r = window_out(row, t / window, stride, pad, oh), q = window_out(col, t % window, stride, pad, ow);
      if (r < 0 || q < 0) continue;
      size_t at = (image + (size_t)r * ow + q) * c + i % c;
      if (!maximum)
        sum += dy[at] / (window_taps(r, window, stride, pad, h) * window_taps(q, window, stride, pad, w));
      else if (where[at] == t)
        sum += dy[at];
    }
    put(&dx[i], sum, acc);
  }
}

KERNEL(pool)
KERNEL(pool_grad)
