// Multi-head attention without a library: refAttention and refAttentionGrad of
// kernels/cpu/reference_sequence.go. One block a query (or a key) of a head;
// scores are kept in shared memory, which bounds the length of a sequence.
#include "cuda.cuh"

// Row of query (0), key (1) or value (2) of head p = b·h + head at time t.
INLINE size_t head_row(int which, int p, int t, int len, int h, int d) {
  return ((((size_t)(p / h) * len + t) * 3 + which) * h + p % h) * d;
}
INLINE size_t out_row(int p, int t, int len, int h, int d) {
  return (((size_t)(p / h) * len + t) * h + p % h) * d;
}
INLINE float dot(const float *a, const float *b, int d) {
  float sum = 0;
  for (int i = 0; i < d; i++) sum += a[i] * b[i];
  return sum;
}

// Grid (len, batch·h); shared: len floats.
KERNEL_FN attention(float *o, float *lse, const float *qkv, int len, int h, int d, int causal, float scale) {
  DYNAMIC_SHARED(float, score);
  int t = blockIdx.x, p = blockIdx.y, seen = causal ? t + 1 : len;
  const float *q = qkv + head_row(0, p, t, len, h, d);
  float top = -INF, sum = 0;
  BLOCK_LOOP(s, seen) {
    score[s] = scale * dot(q, qkv + head_row(1, p, s, len, h, d), d);
    top = fmaxf(top, score[s]);
  }
  top = block_max(top);
  BLOCK_LOOP(s, seen) {
    score[s] = expf(score[s] - top);
    sum += score[s];
  }
  sum = block_sum(sum); // its barriers also make all scores visible
  BLOCK_LOOP(i, d) {
    float v = 0;
    for (int s = 0; s < seen; s++) v += score[s] * qkv[head_row(2, p, s, len, h, d) + i];
    o[out_row(p, t, len, h, d) + i] = v / sum;
  }
  if (threadIdx.x == 0) lse[(size_t)p * len + t] = top + logf(sum);
}

// The gradient of the score of query t and key s, given Σ dO·O of the query.
INLINE float score_grad(const float *qkv, const float *dout, float lse, float inner, int p, int t, int s, int len,
                        int h, int d, float scale, float *prob) {
  *prob = expf(scale * dot(qkv + head_row(0, p, t, len, h, d), qkv + head_row(1, p, s, len, h, d), d) - lse);
  return scale * *prob * (dot(dout + out_row(p, t, len, h, d), qkv + head_row(2, p, s, len, h, d), d) - inner);
}

// Gradient of the queries. Grid and shared memory as above.
KERNEL_FN attention_grad_query(float *dqkv, const float *qkv, const float *o, const float *lse, const float *dout,
                               int len, int h, int d, int causal, float scale) {
  DYNAMIC_SHARED(float, ds);
  int t = blockIdx.x, p = blockIdx.y, seen = causal ? t + 1 : len;
  size_t out = out_row(p, t, len, h, d);
  float inner = dot(dout + out, o + out, d), prob;
  BLOCK_LOOP(s, seen) ds[s] = score_grad(qkv, dout, lse[(size_t)p * len + t], inner, p, t, s, len, h, d, scale, &prob);
  __syncthreads();
  BLOCK_LOOP(i, d) {
    float v = 0;
    for (int s = 0; s < seen; s++) v += ds[s] * qkv[head_row(1, p, s, len, h, d) + i];
    dqkv[head_row(0, p, t, len, h, d) + i] = v;
  }
}

// Gradient of keys and values; blockIdx.x is the key. Shared: 2·len floats.
KERNEL_FN attention_grad_key(float *dqkv, const float *qkv, const float *o, const float *lse, const float *dout,
                             int len, int h, int d, int causal, float scale) {
  DYNAMIC_SHARED(float, ds);
  float *prob = ds + len;
  int s = blockIdx.x, p = blockIdx.y, first = causal ? s : 0;
  for (int t = first + threadIdx.x; t < len; t += blockDim.x) {
    size_t out = out_row(p, t, len, h, d);
    float inner = dot(dout + out, o + out, d);
    ds[t] = score_grad(qkv, dout, lse[(size_t)p * len + t], inner, p, t, s, len, h, d, scale, &prob[t]);
  }
  __syncthreads();
  BLOCK_LOOP(i, d) {
    float key = 0, value = 0;
    for (int t = first; t < len; t++) {
      key += ds[t] * qkv[head_row(0, p, t, len, h, d) + i];
      value += prob[t] * dout[out_row(p, t, len, h, d) + i];
    }
    dqkv[head_row(1, p, s, len, h, d) + i] = key;
    dqkv[head_row(2, p, s, len, h, d) + i] = value;
  }
}

KERNEL(attention)
KERNEL(attention_grad_query)
KERNEL(attention_grad_key)
