#pragma once
#include <cuda.h>

// Launches f with arguments of at most 8 bytes each, low bytes first.
// gorgonia.org/cu takes no more than 8 arguments.
CUresult gpu_launch(CUfunction f, const unsigned dims[6], unsigned shared, CUstream stream, uint64_t *values, int count);
