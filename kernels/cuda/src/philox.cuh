// Philox4x32-10: package kernels/philox, bit by bit.
#pragma once
#include "cuda.cuh"

struct Words { unsigned w[4]; };

INLINE Words philox(unsigned k0, unsigned k1, unsigned c0, unsigned c1, unsigned c2, unsigned c3) {
  for (int round = 0; round < 10; round++) {
    unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  Words r = {{c0, c1, c2, c3}};
  return r;
}

// The open interval (0, 1), exact in float: philox.Uniform.
INLINE float uniform(unsigned u) { return ((float)(u >> 9) + 0.5f) * (1.0f / (1 << 23)); }
