// Activations and their slopes: activate and slope of kernels/cpu/reference.go,
// numbered like kernels.Act.
#pragma once
#include "cuda.cuh"

enum { ACT_NONE, ACT_RELU, ACT_GELU, ACT_SILU, ACT_TANH, ACT_SIGMOID };

INLINE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The argument of the tanh of GELU, doubled: (1 + tanh(u))/2 = sigmoid(2u)
// without the cancellation.
INLINE float gelu_arg(float x) { return 1.5957691216057308f * (x + 0.044715f * x * x * x); }

// The value at x. NaN stays NaN.
INLINE float activate(int act, float x) {
  switch (act) {
  case ACT_RELU: return x < 0 ? 0 : x;
  case ACT_GELU: return x * sigmoid(gelu_arg(x));
  case ACT_SILU: return x * sigmoid(x);
  case ACT_TANH: return tanhf(x);
  case ACT_SIGMOID: return sigmoid(x);
  }
  return x;
}

// The derivative, of the output for ReLU, tanh and sigmoid, else of the input.
INLINE float slope(int act, float x) {
  switch (act) {
  case ACT_RELU: return x > 0 ? 1 : 0;
  case ACT_GELU: {
    float s = sigmoid(gelu_arg(x)), t = sigmoid(-gelu_arg(x));
    return s + x * s * t * 1.5957691216057308f * (1 + 3 * 0.044715f * x * x);
  }
  case ACT_SILU: {
    float s = sigmoid(x);
    return s * (1 + x * sigmoid(-x));
  }
  case ACT_TANH: return 1 - x * x;
  case ACT_SIGMOID: return x * (1 - x);
  }
  return 1;
}
