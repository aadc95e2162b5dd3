// The LSTM cell: cell of refLSTM and of refLSTMGrad in
// kernels/cpu/reference_sequence.go, for time t of all sequences of a batch.
// The recurrent products around them are matrix products (matmul.cu or
// cuBLASLt); lstm_before lines up their operand for the weight gradient.
#include "activation.cuh"

// gates holds h[t-1]·W at time t (nothing yet at t = 0) and is overwritten
// with the activated gates. n = batch·hidden.
KERNEL_FN lstm_cell(float *h, float *c, float *gates, const float *x, int t, int len, int hidden, int n) {
  GRID_LOOP(i, n) {
    int j = i % hidden;
    size_t at = (size_t)(i / hidden) * len + t, gate = at * 4 * hidden + j, cell = at * hidden + j;
    float in[4];
    for (int q = 0; q < 4; q++) {
      in[q] = x[gate + (size_t)q * hidden];
      if (t > 0) in[q] += gates[gate + (size_t)q * hidden];
      in[q] = q == 2 ? tanhf(in[q]) : sigmoid(in[q]);
      gates[gate + (size_t)q * hidden] = in[q];
    }
    float state = in[0] * in[2];
    if (t > 0) state += in[1] * c[cell - hidden];
    c[cell] = state;
    h[cell] = in[3] * tanhf(state);
  }
}

// carried [batch, hidden] is the gradient that the cell of t+1 hands back
// through its product (ignored for the last); dc is the state's, in and out.
KERNEL_FN lstm_cell_grad(float *dx, float *dc, const float *carried, const float *dh, const float *c,
                         const float *gates, int t, int len, int hidden, int n) {
  GRID_LOOP(i, n) {
    int j = i % hidden, last = t == len - 1;
    size_t at = (size_t)(i / hidden) * len + t, gate = at * 4 * hidden + j, cell = at * hidden + j;
    float in = gates[gate], forget = gates[gate + hidden], cand = gates[gate + 2 * (size_t)hidden],
          out = gates[gate + 3 * (size_t)hidden];
    float d = dh[cell] + (last ? 0.0f : carried[i]), th = tanhf(c[cell]), before = t > 0 ? c[cell - hidden] : 0.0f;
    float state = (last ? 0.0f : dc[i]) + d * out * (1 - th * th);
    dc[i] = state * forget;
    dx[gate] = state * cand * in * (1 - in);
    dx[gate + hidden] = state * before * forget * (1 - forget);
    dx[gate + 2 * (size_t)hidden] = state * in * (1 - cand * cand);
    dx[gate + 3 * (size_t)hidden] = d * th * out * (1 - out);
  }
}

// before[b][t] = h[b][t-1], 0 at t = 0.
KERNEL_FN lstm_before(float *before, const float *h, int len, int hidden, int n) {
  GRID_LOOP(i, n) before[i] = i / hidden % len > 0 ? h[i - hidden] : 0.0f;
}

KERNEL(lstm_cell)
KERNEL(lstm_cell_grad)
KERNEL(lstm_before)
