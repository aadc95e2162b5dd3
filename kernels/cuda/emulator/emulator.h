// The CUDA dialect of the kernel sources for g++: one block at a time, one
// fiber for each CUDA thread that blocks. emulator.cpp schedules them.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __shared__ static thread_local // a block never leaves its OS thread

namespace emulator {
struct Dim { unsigned x, y, z; };
struct Context { Dim thread, block, block_dim, grid_dim; }; // what the running CUDA thread sees
extern __thread Context *context;

void *dynamic_shared();
enum Reduction { AND, OR, COUNT };
int barrier(Reduction kind, int predicate);
enum Collective { SYNC, SHUFFLE, BALLOT };
// A collective of the lanes of mask. Shuffles give the value of lane `from`.
uint64_t warp(Collective op, unsigned mask, uint64_t value, int from);
int lane();

// The table of kernels: a name, and a function that unpacks the arguments.
typedef void (*Invoke)(void **arguments);
struct Kernel { const char *name; Invoke run; int count; const size_t *sizes; Kernel *next; };
void add(Kernel *);

template <auto F> struct Entry;
template <class... A, void (*F)(A...)> struct Entry<F> {
  static constexpr size_t sizes[sizeof...(A) + 1] = {sizeof(A)..., 0};
  template <size_t... I> static void call(void **p, std::index_sequence<I...>) { F(*(std::decay_t<A> *)p[I]...); }
  static void run(void **p) { call(p, std::index_sequence_for<A...>{}); }
  Kernel kernel;
  explicit Entry(const char *name) : kernel{name, run, (int)sizeof...(A), sizes, nullptr} { add(&kernel); }
};

template <class T> inline T shuffle(unsigned mask, T v, int from) {
  static_assert(sizeof(T) <= 8, "a shuffle of at most 8 bytes");
  uint64_t u = 0;
  memcpy(&u, &v, sizeof v);
  u = warp(SHUFFLE, mask, u, from);
  memcpy(&v, &u, sizeof v);
  return v;
}
} // namespace emulator

#define KERNEL(f) static emulator::Entry<f> emulator_entry_##f(#f);

extern "C" {
// Runs a kernel on up to `threads` OS threads, each block on one of them. 0,
// or an error whose text is in message.
int emulator_launch(const char *name, const unsigned grid[3], const unsigned block[3], size_t shared,
                    void **arguments, int threads, unsigned seed, char *message, size_t size);
int emulator_parameters(const char *name); // -1: there is no such kernel
size_t emulator_parameter_size(const char *name, int i);
}

#define threadIdx (emulator::context->thread)
#define blockIdx (emulator::context->block)
#define blockDim (emulator::context->block_dim)
#define gridDim (emulator::context->grid_dim)

static inline void __syncthreads() { emulator::barrier(emulator::AND, 0); }
static inline int __syncthreads_or(int p) { return emulator::barrier(emulator::OR, p); }
static inline void __syncwarp(unsigned m = 0xffffffffu) { emulator::warp(emulator::SYNC, m, 0, 0); }
template <class T> static inline T __shfl_sync(unsigned m, T v, int from) { return emulator::shuffle(m, v, from & 31); }
template <class T> static inline T __shfl_xor_sync(unsigned m, T v, int x) {
  return emulator::shuffle(m, v, emulator::lane() ^ x);
}
template <class T> static inline T __shfl_up_sync(unsigned m, T v, int d) {
  int l = emulator::lane();
  return emulator::shuffle(m, v, l >= d ? l - d : l);
}
static inline unsigned __ballot_sync(unsigned m, int p) {
  return (unsigned)emulator::warp(emulator::BALLOT, m, p != 0, 0);
}

static inline float __int_as_float(int u) { float f; memcpy(&f, &u, 4); return f; }
static inline float __fmul_rn(float a, float b) { return a * b; } // x86-64 without -mfma contracts nothing
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
template <class T> static inline T max(T a, T b) { return a < b ? b : a; }
