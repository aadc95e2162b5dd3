//go:build cuda

#include "launch.h"

#define MOST 32

CUresult gpu_launch(CUfunction f, const unsigned dims[6], unsigned shared, CUstream stream, uint64_t *values, int count) {
  void *pointers[MOST];
  if (count > MOST) return CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < count; i++) pointers[i] = &values[i];
  return cuLaunchKernel(f, dims[0], dims[1], dims[2], dims[3], dims[4], dims[5], shared, stream, pointers, NULL);
}
