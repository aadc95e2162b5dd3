//go:build cuda

#include "nvrtc.h"
#include <dlfcn.h>
#include <stdlib.h>

const char *nvrtc_open(nvrtc_library *l, const char *name) {
  void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!lib) return dlerror();
#define FIND(field, symbol) \
  if (!(*(void **)&l->field = dlsym(lib, symbol))) return "it has no " symbol;
  FIND(version, "nvrtcVersion")
  FIND(error, "nvrtcGetErrorString")
  FIND(create, "nvrtcCreateProgram")
  FIND(destroy, "nvrtcDestroyProgram")
  FIND(compile, "nvrtcCompileProgram")
  FIND(ptx_size, "nvrtcGetPTXSize")
  FIND(ptx, "nvrtcGetPTX")
  FIND(cubin_size, "nvrtcGetCUBINSize")
  FIND(cubin, "nvrtcGetCUBIN")
  FIND(log_size, "nvrtcGetProgramLogSize")
  FIND(log, "nvrtcGetProgramLog")
  return NULL;
}

int nvrtc_version(nvrtc_library *l, int *major, int *minor) { return l->version(major, minor); }

const char *nvrtc_error(nvrtc_library *l, int status) { return l->error(status); }

static int result(nvrtc_library *l, nvrtcProgram p, int cubin, char **code, size_t *size) {
  int rc = (cubin ? l->cubin_size : l->ptx_size)(p, size);
  if (rc) return rc;
  if (!(*code = malloc(*size + 1))) return 1; // NVRTC_ERROR_OUT_OF_MEMORY
  return (cubin ? l->cubin : l->ptx)(p, *code);
}

int nvrtc_compile(nvrtc_library *l, const char *source, const char *name, int headers, const char **texts,
                  const char **names, int count, const char **options, int cubin, char **code, size_t *size, char **log) {
  nvrtcProgram p;
  size_t n = 0;
  *code = *log = NULL;
  int rc = l->create(&p, source, name, headers, texts, names);
  if (rc) return rc;
  rc = l->compile(p, count, options);
  if (l->log_size(p, &n) == 0 && n > 1 && (*log = calloc(n + 1, 1))) l->log(p, *log);
  if (rc == 0) rc = result(l, p, cubin, code, size);
  l->destroy(&p);
  return rc;
}
