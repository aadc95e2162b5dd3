// Entries of a vector chosen by a mask, packed in order and unpacked again:
// what a communicator sends of a masked gradient. Equal to
//
//   for i, m := range mask { if m != 0 { packed[k] = x[i]; k++ } }
//
// mask_count and mask_offsets make the place of every chunk's first entry once
// a mask; mask_pack and mask_unpack use them. Chunks are of 1024 entries, a
// block of 256 threads each.
#include "cuda.cuh"

#define CHUNK 1024

KERNEL_FN mask_count(int *counts, const float *mask, int n) {
  int found = 0, lo = blockIdx.x * CHUNK;
  for (int i = lo + threadIdx.x; i < min(n, lo + CHUNK); i += blockDim.x) found += mask[i] != 0;
  found = block_sum(found);
  if (threadIdx.x == 0) counts[blockIdx.x] = found;
}

// counts become offsets: offsets[k] = Σ counts[0..k), offsets[chunks] = all.
// One block of 1024 threads.
KERNEL_FN mask_offsets(int *offsets, int chunks) {
  __shared__ int warps[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, before = 0;
  for (int base = 0; base < chunks; base += 1024) {
    int k = base + threadIdx.x, own = k < chunks ? offsets[k] : 0, upto = own;
    for (int d = 1; d < 32; d *= 2) {
      int v = __shfl_up_sync(FULL_WARP, upto, d);
      if (lane >= d) upto += v;
    }
    if (lane == 31) warps[warp] = upto;
    __syncthreads();
    int sum = warps[lane];
    for (int d = 1; d < 32; d *= 2) {
      int v = __shfl_up_sync(FULL_WARP, sum, d);
      if (lane >= d) sum += v;
    }
    int earlier = __shfl_sync(FULL_WARP, sum, warp > 0 ? warp - 1 : 0);
    if (k < chunks) offsets[k] = before + (warp > 0 ? earlier : 0) + upto - own;
    before += __shfl_sync(FULL_WARP, sum, 31);
    __syncthreads();
  }
  if (threadIdx.x == 0) offsets[chunks] = before;
}

// The place of entry i among those of its chunk that the mask chooses, for 256
// entries at a time; *found becomes the number of them.
INLINE int place_of(int chosen, int *found) {
  __shared__ int warps[8];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  unsigned lanes = __ballot_sync(FULL_WARP, chosen);
  if (lane == 0) warps[warp] = __popc(lanes);
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < 8; w++) {
    if (w < warp) before += warps[w];
    all += warps[w];
  }
  __syncthreads();
  *found = all;
  return before + __popc(lanes & ((1u << lane) - 1));
}

// packed[place] = x[i] for chosen entries.
KERNEL_FN mask_pack(float *packed, const float *x, const float *mask, const int *offsets, int n) {
  int at = offsets[blockIdx.x], found;
  for (int base = blockIdx.x * CHUNK; base < (int)(blockIdx.x + 1) * CHUNK; base += 256, at += found) {
    int i = base + threadIdx.x, chosen = i < n && mask[i] != 0, place = place_of(chosen, &found);
    if (chosen) packed[at + place] = x[i];
  }
}

// x[i] = packed[place] for chosen entries, 0 for the others.
KERNEL_FN mask_unpack(float *x, const float *packed, const float *mask, const int *offsets, int n) {
  int at = offsets[blockIdx.x], found;
  for (int base = blockIdx.x * CHUNK; base < (int)(blockIdx.x + 1) * CHUNK; base += 256, at += found) {
    int i = base + threadIdx.x, chosen = i < n && mask[i] != 0, place = place_of(chosen, &found);
    if (i < n) x[i] = chosen ? packed[at + place] : 0.0f;
  }
}

KERNEL(mask_count)
KERNEL(mask_offsets)
KERNEL(mask_pack)
KERNEL(mask_unpack)
