// Pointwise kernels. Each equals the loop of the same op in
// kernels/cpu/reference_point.go: refUnary, refUnaryGrad, refBinary, refAxpby,
// refFill; bias_activation is the end of refMatMul and refConv.
#include "activation.cuh"

KERNEL_FN unary(float *y, const float *x, int act, int n) {
  GRID_LOOP(i, n) y[i] = activate(act, x[i]);
}

KERNEL_FN unary_grad(float *dx, const float *x, const float *dy, int act, int acc, int n) {
  GRID_LOOP(i, n) put(&dx[i], dy[i] * slope(act, x[i]), acc);
}

// fn: 0 add, 1 subtract, 2 multiply; b repeats with the given period.
KERNEL_FN binary(float *y, const float *a, const float *b, int fn, int period, int acc, int n) {
  GRID_LOOP(i, n) {
    float u = a[i], v = b[period == n ? i : i % period];
    put(&y[i], fn == 0 ? u + v : fn == 1 ? u - v : u * v, acc);
  }
}

KERNEL_FN axpby(float *y, const float *x, float alpha, float beta, int n) {
  GRID_LOOP(i, n) {
    float v = alpha * x[i];
    y[i] = beta != 0 ? v + beta * y[i] : v;
  }
}

KERNEL_FN fill(float *y, float value, int n) {
  GRID_LOOP(i, n) y[i] = value;
}

// y = act(y + bias), pre the value before: what follows a product that a
// library computed. bias and pre may be null.
KERNEL_FN bias_activation(float *y, float *pre, const float *bias, int cols, int act, int n) {
  GRID_LOOP(i, n) {
    float v = y[i];
    if (bias) v += bias[i % cols];
    if (pre) pre[i] = v;
    y[i] = activate(act, v);
  }
}

KERNEL(unary)
KERNEL(unary_grad)
KERNEL(binary)
KERNEL(axpby)
KERNEL(fill)
KERNEL(bias_activation)
