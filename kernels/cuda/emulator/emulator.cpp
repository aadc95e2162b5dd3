//go:build emulated

// The scheduler of the emulator. Each OS thread runs one block at a time. A
// CUDA thread runs on a fiber; a fiber whose thread ends without having blocked
// takes the next thread, so a kernel without barriers costs a function call a
// thread, and only threads that wait need a stack of their own.
#include "emulator.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <sys/mman.h>
#include <thread>
#include <ucontext.h>
#include <vector>

namespace emulator {
__thread Context *context;

static Kernel *table;
void add(Kernel *k) { k->next = table, table = k; }
static Kernel *find(const char *name) {
  for (Kernel *k = table; k; k = k->next)
    if (!strcmp(k->name, name)) return k;
  return nullptr;
}

const size_t STACK = 64 << 10;

struct Fiber {
#ifdef __x86_64__
  void *stack_pointer;
#else
  ucontext_t saved;
#endif
  char *memory;
  int thread; // the CUDA thread that runs on it
};

#ifdef __x86_64__
// Saves the callee-saved registers and swaps stacks: some 2 ns, where
// swapcontext makes a system call of 300 ns.
asm(R"(
.text
.p2align 4
.type emulator_switch,@function
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emulator_switch, .-emulator_switch
)");
extern "C" void emulator_switch(void **save, void *to);
#endif

struct Warp {
  unsigned ready, unstarted, exist; // lanes
  unsigned arrived;                 // lanes that wait in a collective
  Collective op[32];
  uint64_t in[32], out[32];
  int from[32];
};

// The block that an OS thread is running.
struct Block {
  Context contexts[1024];
  Fiber *fiber_of[1024];
  Warp warps[32];
  std::vector<Fiber *> all, idle;
  Fiber main, *current;
  int threads, warp_count, ended, waiting; // waiting in __syncthreads
  int gathered[3], result[3];              // of barriers, by Reduction
  Invoke run;
  void **arguments;
  std::vector<char> shared;
  bool failed;
  char message[256];
  unsigned seed; // of a random order of threads; 0: in turn

  ~Block() { drop(); }
  void drop() {
    for (Fiber *f : all) munmap(f->memory, STACK);
    all.clear(), idle.clear();
  }
  unsigned random() { return seed = (seed * 1664525u + 1013904223u) | 1; }
};
static __thread Block *block;
static thread_local std::unique_ptr<Block> owned; // freed with the OS thread

// A fiber may be resumed by the same OS thread only, but the compiler must not
// keep the address of a thread-local variable across a switch.
[[gnu::noinline]] static Block *running() { return block; }

static void fail(const char *format, ...) {
  Block *b = block;
  if (!b->failed) {
    va_list a;
    va_start(a, format);
    vsnprintf(b->message, sizeof b->message, format, a);
    va_end(a);
  }
  b->failed = true;
}

static void switch_to(Fiber *from, Fiber *to) {
  if (from == to) return;
  block->current = to;
#ifdef __x86_64__
  emulator_switch(&from->stack_pointer, to->stack_pointer);
#else
  swapcontext(&from->saved, &to->saved);
#endif
}

static void fiber_main();

static Fiber *new_fiber() {
  Block *b = block;
  if (!b->idle.empty()) {
    Fiber *f = b->idle.back();
    b->idle.pop_back();
    return f;
  }
  char *m = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) abort();
  mprotect(m, 4096, PROT_NONE); // guard page
  // Staggered by cache lines: at one offset from 64 KiB boundaries all stacks
  // would share a few cache sets.
  char *top = m + STACK - 1280 - b->all.size() * 320 % 16384;
  Fiber *f = new ((void *)((uintptr_t)top & ~(uintptr_t)63)) Fiber();
  f->memory = m;
#ifdef __x86_64__
  void **sp = (void **)f;
  *--sp = nullptr; // return address of fiber_main: none
  *--sp = (void *)fiber_main;
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  f->stack_pointer = sp;
#else
  getcontext(&f->saved);
  f->saved.uc_stack.ss_sp = m + 4096, f->saved.uc_stack.ss_size = STACK / 2, f->saved.uc_link = nullptr;
  makecontext(&f->saved, fiber_main, 0);
#endif
  b->all.push_back(f);
  return f;
}

static int nth_lane(unsigned lanes, unsigned n) {
  for (; n; n--) lanes &= lanes - 1;
  return __builtin_ctz(lanes);
}

// A random thread that can run; -1: none.
static int pick_random() {
  Block *b = block;
  int seen = 0, warp = -1;
  for (int w = 0; w < b->warp_count; w++)
    if ((b->warps[w].ready | b->warps[w].unstarted) && (b->random() >> 8) % ++seen == 0) warp = w;
  if (warp < 0) return -1;
  unsigned lanes = b->warps[warp].ready | b->warps[warp].unstarted;
  return warp * 32 + nth_lane(lanes, (b->random() >> 8) % __builtin_popcount(lanes));
}

// The thread to run after t, its own warp first so that collectives end early.
static int pick(int t) {
  Block *b = block;
  if (b->seed) return pick_random();
  for (int i = 0; i <= b->warp_count; i++) {
    int w = ((t < 0 ? 0 : t >> 5) + i) % b->warp_count, after = t < 0 ? -1 : t & 31;
    unsigned lanes = b->warps[w].ready | b->warps[w].unstarted;
    if (!lanes) continue;
    unsigned higher = i == 0 && after < 31 ? lanes & ~((2u << after) - 1) : 0;
    return w * 32 + __builtin_ctz(higher ? higher : lanes);
  }
  return -1;
}

// Makes t the thread that runs on the current fiber.
static void enter(int t) {
  Block *b = block;
  Warp &w = b->warps[t >> 5];
  unsigned bit = 1u << (t & 31);
  w.ready &= ~bit, w.unstarted &= ~bit;
  b->current->thread = t, b->fiber_of[t] = b->current, context = &b->contexts[t];
}

// Leaves the current fiber for the next thread that can run.
static void reschedule(bool finished) {
  Block *b = block;
  Fiber *me = b->current;
  int t = b->failed ? -1 : pick(me->thread);
  if (t < 0) {
    if (b->ended < b->threads)
      fail("deadlock: of %d threads %d ended, %d wait in __syncthreads, the rest in warp collectives "
           "(a barrier that not all threads reach, or a mask that names a lane which ended)",
           b->threads, b->ended, b->waiting);
    if (finished) b->idle.push_back(me);
    switch_to(me, &b->main);
    return;
  }
  bool fresh = b->warps[t >> 5].unstarted >> (t & 31) & 1;
  if (fresh && finished) return enter(t); // on this very fiber
  Fiber *next = fresh ? new_fiber() : b->fiber_of[t];
  if (finished) b->idle.push_back(me);
  b->current = next;
  enter(t);
  switch_to(me, next);
}

static void fiber_main() {
  for (;;) {
    Block *b = running();
    b->run(b->arguments);
    running()->ended++;
    reschedule(true);
  }
}

// Blocks the running thread until another makes it ready. After a failure it
// never comes back: the block is dropped.
static void wait() {
  reschedule(false);
  if (running()->failed) switch_to(running()->current, &running()->main);
}

void *dynamic_shared() { return (void *)(((uintptr_t)block->shared.data() + 127) & ~(uintptr_t)127); }
int lane() { return block->current->thread & 31; }

int barrier(Reduction kind, int predicate) {
  Block *b = block;
  int t = b->current->thread, p = predicate != 0;
  b->gathered[AND] &= p, b->gathered[OR] |= p, b->gathered[COUNT] += p;
  if (++b->waiting < b->threads) {
    wait();
    return running()->result[kind];
  }
  memcpy(b->result, b->gathered, sizeof b->result);
  b->gathered[AND] = 1, b->gathered[OR] = b->gathered[COUNT] = b->waiting = 0;
  for (int w = 0; w < b->warp_count; w++) b->warps[w].ready = b->warps[w].exist;
  b->warps[t >> 5].ready &= ~(1u << (t & 31));
  return b->result[kind];
}

uint64_t warp(Collective op, unsigned mask, uint64_t value, int from) {
  Block *b = block;
  int l = lane();
  Warp &w = b->warps[b->current->thread >> 5];
  mask &= w.exist;
  if (!(mask >> l & 1)) {
    fail("warp collective: lane %d is not in its own mask %#x", l, mask);
    wait();
  }
  w.in[l] = value, w.from[l] = from & 31, w.op[l] = op, w.arrived |= 1u << l;
  if ((w.arrived & mask) != mask) {
    wait();
    return w.out[l];
  }
  uint64_t ballot = 0;
  for (unsigned m = mask; m; m &= m - 1) {
    int i = __builtin_ctz(m);
    if (w.op[i] != op) fail("warp collectives of different kinds met");
    if (w.in[i]) ballot |= 1ull << i;
  }
  for (unsigned m = mask; m; m &= m - 1) {
    int i = __builtin_ctz(m);
    bool there = mask >> w.from[i] & 1; // a lane that is not there gives rubbish
    w.out[i] = op == BALLOT ? ballot : there ? w.in[w.from[i]] : ~0ull;
  }
  w.arrived &= ~mask;
  w.ready |= mask & ~(1u << l);
  return w.out[l];
}

static void prepare(Dim at, Dim grid, Dim size, size_t shared) {
  Block *b = block;
  int t = 0;
  for (unsigned z = 0; z < size.z; z++)
    for (unsigned y = 0; y < size.y; y++)
      for (unsigned x = 0; x < size.x; x++) b->contexts[t++] = {{x, y, z}, at, size, grid};
  b->threads = t, b->warp_count = (t + 31) / 32, b->ended = b->waiting = 0;
  b->gathered[AND] = 1, b->gathered[OR] = b->gathered[COUNT] = 0;
  for (int w = 0; w < b->warp_count; w++) {
    unsigned lanes = w == b->warp_count - 1 && t % 32 ? (1u << t % 32) - 1 : ~0u;
    Warp &v = b->warps[w];
    v.exist = v.unstarted = lanes, v.ready = v.arrived = 0;
  }
  b->shared.resize(shared + 128);
  memset(b->shared.data(), 0xff, b->shared.size()); // NaN in every float format
}

static bool run_block(const Kernel *k, Dim at, Dim grid, Dim size, size_t shared, void **arguments, unsigned seed) {
  Block *b = block;
  prepare(at, grid, size, shared);
  b->run = k->run, b->arguments = arguments;
  b->seed = seed ? (seed * 2654435761u ^ at.x * 40503u) | 1 : 0;
  Fiber *first = new_fiber();
  b->current = first;
  enter(pick(-1));
  b->current = &b->main;
  switch_to(&b->main, first);
  if (b->failed) b->drop(); // threads are stuck on their fibers
  return !b->failed;
}
} // namespace emulator

using namespace emulator;

int emulator_parameters(const char *name) {
  Kernel *k = find(name);
  return k ? k->count : -1;
}

size_t emulator_parameter_size(const char *name, int i) { return find(name)->sizes[i]; }

int emulator_launch(const char *name, const unsigned grid[3], const unsigned size[3], size_t shared,
                    void **arguments, int threads, unsigned seed, char *message, size_t room) {
  Kernel *k = find(name);
  if (!k) return snprintf(message, room, "there is no kernel %s", name), 1;
  Dim g{grid[0], grid[1], grid[2]}, s{size[0], size[1], size[2]};
  uint64_t n = (uint64_t)s.x * s.y * s.z, blocks = (uint64_t)g.x * g.y * g.z;
  if (n == 0 || n > 1024 || s.z > 64 || blocks == 0 || g.y > 65535 || g.z > 65535 || shared > 227 << 10)
    return snprintf(message, room, "%s: a grid of %u×%u×%u blocks of %u×%u×%u threads with %zu bytes is beyond CUDA's limits",
                    name, g.x, g.y, g.z, s.x, s.y, s.z, shared), 2;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> bad{false};
  auto work = [&] {
    if (!block) owned.reset(new Block()), block = owned.get();
    block->failed = false;
    for (uint64_t i; !bad && (i = next++) < blocks;) {
      Dim at{(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / g.x / g.y)};
      if (!run_block(k, at, g, s, shared, arguments, seed) && !bad.exchange(true))
        snprintf(message, room, "%s: block %llu: %s", name, (unsigned long long)i, block->message);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads && (uint64_t)i < blocks; i++) others.emplace_back(work);
  work();
  for (auto &t : others) t.join();
  return bad ? 3 : 0;
}
