// Product of matrices without a library: refMatMul of
// kernels/cpu/reference_linear.go. The fallback where cuBLASLt is missing, and
// what is tested without a GPU.
//
// A block of 16×16 threads computes a tile of 64×64, 4×4 a thread, along k in
// steps of 16 through shared memory. Operands are given by the distances of
// neighbours along each index, which covers transposition, batches and rows
// that lie apart. Grid (m/64, n/64, batch).
#include "activation.cuh"

#define TILE_MN 64
#define TILE_K 16

// c[z][i][j] = act(alpha·Σ a·b + bias[j]), or += with acc. bias and pre may be
// null. Distances: a (am, ak), b (bk, bn), rows of c ldc; batches az, bz, cz.
KERNEL_FN matmul(float *c, float *pre, const float *a, const float *b, const float *bias, int m, int n, int k,
                 int am, int ak, int bk, int bn, int ldc, int az, int bz, int cz, float alpha, int act, int acc) {
  __shared__ float as[TILE_K][TILE_MN + 1], bs[TILE_K][TILE_MN + 1];
  int tx = threadIdx.x, ty = threadIdx.y, tid = ty * 16 + tx, i0 = blockIdx.x * TILE_MN, j0 = blockIdx.y * TILE_MN;
  a += (size_t)blockIdx.z * az, b += (size_t)blockIdx.z * bz;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < k; k0 += TILE_K) {
    for (int e = tid; e < TILE_K * TILE_MN; e += 256) {
      // neighbouring threads read neighbouring elements
      int ai = ak == 1 ? e / TILE_K : e % TILE_MN, ap = ak == 1 ? e % TILE_K : e / TILE_MN;
      as[ap][ai] = i0 + ai < m && k0 + ap < k ? a[(size_t)(i0 + ai) * am + (size_t)(k0 + ap) * ak] : 0;
      int bj = bk == 1 ? e / TILE_K : e % TILE_MN, bp = bk == 1 ? e % TILE_K : e / TILE_MN;
      bs[bp][bj] = j0 + bj < n && k0 + bp < k ? b[(size_t)(k0 + bp) * bk + (size_t)(j0 + bj) * bn] : 0;
    }
    __syncthreads();
    for (int p = 0; p < TILE_K; p++) {
      float u[4], v[4];
      for (int q = 0; q < 4; q++) u[q] = as[p][ty + 16 * q], v[q] = bs[p][tx + 16 * q];
      for (int q = 0; q < 4; q++)
        for (int r = 0; r < 4; r++) sum[q][r] += u[q] * v[r];
    }
    __syncthreads();
  }
  for (int q = 0; q < 4; q++)
    for (int r = 0; r < 4; r++) {
      int i = i0 + ty + 16 * q, j = j0 + tx + 16 * r;
      if (i >= m || j >= n) continue;
      size_t at = (size_t)blockIdx.z * cz + (size_t)i * ldc + j;
      float v = alpha * sum[q][r];
      if (bias) v += bias[j];
      if (pre) pre[at] = v;
      put(&c[at], activate(act, v), acc);
    }
}

KERNEL(matmul)
