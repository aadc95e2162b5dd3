// A stand-in for libcuda.so.1: the driver calls that package gpu makes, with
// the emulator in place of a GPU. Device memory is host memory in a table,
// filled with NaN; a stream runs what it is given at once.
//
// FAKE_CUDA_FAIL=n makes the n-th call fail, counted from the moment that the
// variable changes. What a call gives back it gives back even so. Streams,
// modules and retained contexts count as 1 MiB of memory, so that
// cuMemGetInfo tells whether any is left.
#include "../../cudashim/include/cuda.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

extern "C" {
int emulator_launch(const char *, const unsigned *, const unsigned *, size_t, void **, int, unsigned, char *, size_t);
int emulator_parameters(const char *);
size_t emulator_parameter_size(const char *, int);
}

static std::mutex mu;
static std::map<uintptr_t, size_t> memory;
static std::map<std::string, std::string> functions;
static size_t used;
static const size_t TOTAL = (size_t)1 << 30, HANDLE = 1 << 20;
static thread_local bool current;

static bool failing() {
  static std::string plan;
  static long calls;
  const char *e = getenv("FAKE_CUDA_FAIL");
  if (plan != (e ? e : "")) plan = e ? e : "", calls = 0;
  return ++calls == atol(plan.c_str());
}

static bool inside(CUdeviceptr p, size_t n) {
  auto it = memory.upper_bound(p);
  if (it == memory.begin()) return false;
  --it;
  return p + n <= it->first + it->second;
}

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define ENTER std::lock_guard<std::mutex> lock(mu); CUresult status = failing() ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS
#define MUST ENTER; if (status) return status
#define HERE MUST; if (!current) return CUDA_ERROR_INVALID_CONTEXT

API cuInit(unsigned) { return CUDA_SUCCESS; }
API cuDriverGetVersion(int *v) { *v = 12000; return CUDA_SUCCESS; }
API cuDeviceGetCount(int *n) { MUST; *n = 1; return status; }
API cuDeviceGetName(char *s, int n, CUdevice) { MUST; snprintf(s, n, "CPU emulator"); return status; }
API cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice) { MUST; *v = (int)a == 75 ? 9 : 0; return status; }
API cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice) { MUST; *c = (CUcontext)&used, used += HANDLE; return status; }
API cuDevicePrimaryCtxRelease_v2(CUdevice) { ENTER; used -= HANDLE; return status; }
API cuCtxSetCurrent(CUcontext c) { MUST; current = c != nullptr; return status; }
API cuMemGetInfo_v2(size_t *f, size_t *t) { HERE; *f = TOTAL - used, *t = TOTAL; return status; }

API cuMemAlloc_v2(CUdeviceptr *p, size_t n) {
  HERE;
  if (n == 0) return CUDA_ERROR_INVALID_VALUE;
  if (used + n > TOTAL) return CUDA_ERROR_OUT_OF_MEMORY;
  void *q = aligned_alloc(256, (n + 255) & ~(size_t)255);
  memset(q, 0xff, n);
  memory[(uintptr_t)q] = n, used += n, *p = (uintptr_t)q;
  return status;
}
API cuMemFree_v2(CUdeviceptr p) {
  ENTER;
  auto it = memory.find(p);
  if (it == memory.end()) return CUDA_ERROR_INVALID_VALUE;
  used -= it->second, memory.erase(it), free((void *)p);
  return status;
}
API cuMemsetD32Async(CUdeviceptr p, unsigned v, size_t n, CUstream) {
  HERE;
  if (!inside(p, 4 * n)) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < n; i++) ((unsigned *)p)[i] = v;
  return status;
}
API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t n) {
  HERE;
  if (!inside(to, n)) return CUDA_ERROR_INVALID_VALUE;
  memcpy((void *)to, from, n);
  return status;
}
API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t n) {
  HERE;
  if (!inside(from, n)) return CUDA_ERROR_INVALID_VALUE;
  memcpy(to, (void *)from, n);
  return status;
}

API cuStreamCreate(CUstream *s, unsigned) { HERE; used += HANDLE, *s = (CUstream) new int; return status; }
API cuStreamDestroy_v2(CUstream s) { ENTER; used -= HANDLE; delete (int *)s; return status; }
API cuStreamSynchronize(CUstream) { HERE; return status; }

API cuModuleLoadData(CUmodule *m, const void *) { HERE; used += HANDLE, *m = (CUmodule) new int; return status; }
API cuModuleUnload(CUmodule m) { ENTER; used -= HANDLE; delete (int *)m; return status; }
API cuModuleGetFunction(CUfunction *f, CUmodule, const char *name) {
  HERE;
  if (emulator_parameters(name) < 0) return CUDA_ERROR_NOT_FOUND;
  *f = (CUfunction)&functions.insert({name, name}).first->second;
  return status;
}
API cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, CUstream, void **arguments, void **) {
  HERE;
  const char *name = ((std::string *)f)->c_str();
  unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
  char message[512];
  if (shared > 48 << 10) return CUDA_ERROR_INVALID_VALUE;
  if (!emulator_launch(name, grid, block, shared, arguments, 1, 0, message, sizeof message)) return status;
  fprintf(stderr, "fake driver: %s\n", message);
  return CUDA_ERROR_LAUNCH_FAILED;
}
API cuGetErrorString(CUresult, const char **s) { *s = "as the fake driver says"; return CUDA_SUCCESS; }
API cuGetErrorName(CUresult, const char **s) { *s = "CUDA_ERROR"; return CUDA_SUCCESS; }
