// What every kernel file starts from: the spellings that differ between a CUDA
// compiler and the CPU emulator, and the few device functions that most
// kernels share. nvcc, NVRTC (which needs no header besides these) and, with
// CUDA_EMULATED defined, g++ compile the same files.
//
// Indices are 32-bit: a lowering refuses operands of more than 2^30 elements.
// Rounding: additions and products may be contracted to fused multiply-adds,
// except where a kernel promises the bits of the CPU; those spell __fmul_rn
// and __fadd_rn.
#pragma once
#ifdef CUDA_EMULATED
#include "emulator.h"
#define DYNAMIC_SHARED(T, name) T *name = (T *)emulator::dynamic_shared()
#else
#define KERNEL(name)
#define DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif

#define KERNEL_FN extern "C" __global__ void
#define INLINE static __device__ __forceinline__
#define FULL_WARP 0xffffffffu
#define INF __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)

// A loop of the whole grid over n elements; each element is one thread's.
#define GRID_LOOP(i, n) \
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)
// A loop of one block over n elements.
#define BLOCK_LOOP(i, n) for (int i = threadIdx.x; i < (n); i += blockDim.x)

// put stores v, or adds it to what is there.
INLINE void put(float *p, float v, int acc) { *p = acc ? *p + v : v; }

// Sum over the block in an order that follows from its size alone; every
// thread gets the result. The block is one-dimensional, whole warps.
template <class T> INLINE T block_sum(T v) {
  __shared__ T part[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
  if (lane == 0) part[warp] = v;
  __syncthreads();
  v = lane < warps ? part[lane] : T(0);
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
  __syncthreads(); // part may be written again
  return v;
}

// Largest v of the block; NaN counts for nothing.
INLINE float block_max(float v) {
  __shared__ float part[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, d));
  if (lane == 0) part[warp] = v;
  __syncthreads();
  v = part[lane < warps ? lane : 0];
  for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, d));
  __syncthreads();
  return v;
}

// What changes from run to run; the host writes it before a run, so that a
// captured graph replays with new values. launch.go has the same layout.
struct Env {
  float grad_scale, rate, grad_factor, weight_decay;
  unsigned shard, step;        // low 32 bits
  unsigned dropout[2];         // Philox keys of the run's seed
  unsigned activation[2];
  unsigned unused[6];
};
