//go:build cuda

// Finds the driver when the program starts. gorgonia.org/cu calls cuInit in a
// package's init and ends the process if it fails: this cuInit always succeeds
// and keeps the driver's own answer for cudashim_status.
#include "include/cuda.h"
#include "shim.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *lib;
static char reason[512];
static CUresult init_status = CUDA_ERROR_NOT_INITIALIZED;

static void *symbol(const char *name) { return dlsym(lib, name); }

CUresult cudashim_missing(void) { return lib ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_NO_DEVICE; }

static void load(void) {
  static int done;
  if (done) return;
  done = 1;
  const char *path = getenv("ESPALIER_CUDA_DRIVER");
  if (path && !strcmp(path, "none")) {
    snprintf(reason, sizeof reason, "turned off by ESPALIER_CUDA_DRIVER=none");
    return;
  }
  lib = dlopen(path && *path ? path : "libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (lib)
    cudashim_bind(symbol);
  else
    snprintf(reason, sizeof reason, "%s", dlerror());
}

CUresult cuInit(unsigned flags) {
  load();
  init_status = lib ? cudashim_real_init(flags) : CUDA_ERROR_NO_DEVICE;
  if (lib && init_status) snprintf(reason, sizeof reason, "cuInit failed");
  return CUDA_SUCCESS;
}

int cudashim_status(const char **why) {
  *why = reason;
  return init_status;
}
