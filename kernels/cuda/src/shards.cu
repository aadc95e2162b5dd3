// Sum of the gradients of logical shards along the fixed tree: SumTree of
// package collective, bit by bit. A tree of n > 1 leaves splits at the largest
// power of two below n, so partial sums of equal size are merged as soon as
// they meet and what is left is added from the right.
#include "cuda.cuh"

#define MAX_LEVELS 17

// dst[i] = the tree sum of shards[0..count)[i], count ≤ 65536. dst may be one
// of the shards.
KERNEL_FN tree_sum(float *dst, const float *const *shards, int count, int n) {
  GRID_LOOP(i, n) {
    float part[MAX_LEVELS];
    int parts = 0;
    for (int s = 0; s < count; s++) {
      part[parts++] = shards[s][i];
      for (int size = s + 1; size % 2 == 0; size /= 2, parts--) part[parts - 2] += part[parts - 1];
    }
    for (; parts > 1; parts--) part[parts - 2] += part[parts - 1];
    dst[i] = part[0];
  }
}

KERNEL(tree_sum)
