// The geometry of sliding windows: struct window of kernels/cpu/reference_conv.go.
#pragma once
#include "cuda.cuh"

// The input index that output o meets at tap t; -1 outside [0, size).
INLINE int window_in(int o, int t, int stride, int pad, int size) {
  int i = o * stride + t - pad;
  return i < size ? i : -1; // negative already where it starts before 0
}

// The output index that input i meets at tap t; -1 if there is none below size.
INLINE int window_out(int i, int t, int stride, int pad, int size) {
  int o = i + pad - t;
  return o >= 0 && o % stride == 0 && o / stride < size ? o / stride : -1;
}

// Positions of the window of output o that lie inside [0, size).
INLINE int window_taps(int o, int window, int stride, int pad, int size) {
  int lo = max(0, o * stride - pad), hi = min(size, o * stride - pad + window);
  return hi - lo;
}
