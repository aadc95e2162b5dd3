// The functions of libnvrtc that are used, found at run time.
#pragma once
#include <stddef.h>

typedef struct _nvrtcProgram *nvrtcProgram;

typedef struct {
  int (*version)(int *major, int *minor);
  const char *(*error)(int);
  int (*create)(nvrtcProgram *, const char *source, const char *name, int headers, const char **texts, const char **names);
  int (*destroy)(nvrtcProgram *);
  int (*compile)(nvrtcProgram, int count, const char **options);
  int (*ptx_size)(nvrtcProgram, size_t *), (*ptx)(nvrtcProgram, char *);
  int (*cubin_size)(nvrtcProgram, size_t *), (*cubin)(nvrtcProgram, char *);
  int (*log_size)(nvrtcProgram, size_t *), (*log)(nvrtcProgram, char *);
} nvrtc_library;

// Loads the library of that name. NULL, or why not.
const char *nvrtc_open(nvrtc_library *, const char *name);
int nvrtc_version(nvrtc_library *, int *major, int *minor);
const char *nvrtc_error(nvrtc_library *, int status);
// Compiles to PTX or a cubin. *code and *log, each NULL or from malloc, are the
// caller's. Returns NVRTC's status.
int nvrtc_compile(nvrtc_library *, const char *source, const char *name, int headers, const char **texts,
                  const char **names, int count, const char **options, int cubin, char **code, size_t *size, char **log);
