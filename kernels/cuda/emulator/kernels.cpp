//go:build emulated

// All kernels, as the emulator sees them.
#define CUDA_EMULATED 1
#include "../src/attention.cu"
#include "../src/columns.cu"
#include "../src/conv.cu"
#include "../src/gather.cu"
#include "../src/lstm.cu"
#include "../src/mask.cu"
#include "../src/matmul.cu"
#include "../src/norm.cu"
#include "../src/optim.cu"
#include "../src/point.cu"
#include "../src/pool.cu"
#include "../src/random.cu"
#include "../src/shape.cu"
#include "../src/shards.cu"
#include "../src/softmax.cu"

// Kernels with mistakes: the emulator must name them.
KERNEL_FN faulty_barrier(float *x) {
  if (threadIdx.x < 40) __syncthreads();
  x[threadIdx.x] = 1;
}
KERNEL_FN faulty_mask(float *x) {
  if (threadIdx.x == 3) return;
  x[threadIdx.x] = __shfl_xor_sync(FULL_WARP, x[threadIdx.x], 1);
}
KERNEL(faulty_barrier)
KERNEL(faulty_mask)
