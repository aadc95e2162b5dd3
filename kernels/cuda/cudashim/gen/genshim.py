#!/usr/bin/env python3
"""Writes include/cuda.h (declarations only, names and numbers of the driver API that we use) and
shim.c (one forwarding function per entry point, resolved with dlsym at run time).

usage: genshim.py GORGONIA_CU_DIR REAL_CUDA_INCLUDE_DIR OUT_DIR
The real cuda.h (Debian nvidia-cuda-dev 11.8) is read only here, to take prototypes without parameter names
(gcc -aux-info) and enumerator values (a compiled program); building the framework needs neither."""
import glob, os, re, subprocess, sys, tempfile

cudir, inc, out = sys.argv[1:4]
EXTRA_FN = """cuMemHostAlloc cuMemHostRegister_v2 cuMemHostUnregister cuMemHostGetDevicePointer_v2 cuMemAllocAsync
cuMemFreeAsync cuMemAllocFromPoolAsync cuMemPoolCreate cuMemPoolDestroy cuMemPoolSetAttribute cuMemPoolGetAttribute
cuMemPoolTrimTo cuDeviceGetDefaultMemPool cuDeviceGetMemPool cuDeviceSetMemPool
cuStreamBeginCapture_v2 cuStreamEndCapture cuStreamIsCapturing
cuThreadExchangeStreamCaptureMode cuGraphInstantiateWithFlags cuGraphLaunch cuGraphUpload cuGraphGetNodes
cuFuncSetAttribute cuLaunchHostFunc cuGetErrorName cuGetErrorString cuEventRecordWithFlags
cuOccupancyMaxPotentialBlockSize cuDeviceGetPCIBusId cuIpcGetMemHandle cuIpcOpenMemHandle_v2 cuIpcCloseMemHandle
cuLaunchCooperativeKernel""".split()
EXTRA_ENUM = """CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
CU_STREAM_CAPTURE_MODE_GLOBAL CU_STREAM_CAPTURE_MODE_THREAD_LOCAL CU_STREAM_CAPTURE_MODE_RELAXED
CU_STREAM_CAPTURE_STATUS_NONE CU_STREAM_CAPTURE_STATUS_ACTIVE CU_STREAM_CAPTURE_STATUS_INVALIDATED
CU_MEMPOOL_ATTR_RELEASE_THRESHOLD CU_MEMPOOL_ATTR_USED_MEM_CURRENT CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT
CU_MEMHOSTALLOC_PORTABLE CU_MEMHOSTALLOC_DEVICEMAP CU_MEMHOSTREGISTER_PORTABLE
CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
CU_MEM_ALLOCATION_TYPE_PINNED CU_MEM_LOCATION_TYPE_DEVICE CU_MEM_ATTACH_GLOBAL CU_EVENT_DISABLE_TIMING
CUDA_ERROR_STUB_LIBRARY CUDA_ERROR_UNSUPPORTED_PTX_VERSION CU_STREAM_NON_BLOCKING""".split()
# Entry points that gorgonia.org/cu reaches through cuda.h's renaming macros: fix one version each. All are
# exported by every driver since 11.7 (CUDA 13 headers rename some differently; drivers keep the old symbols).

src = "\n".join(open(f).read() for f in [f for f in glob.glob(cudir + "/*.go") if not f.endswith("_test.go")] + glob.glob(cudir + "/batch.[ch]"))
src = re.sub(r"^\s*//.*$", "", src, flags=re.M)
ids = set(re.findall(r"\bC\.([A-Za-z_]\w*)", src)) | set(re.findall(r"\b(cu[A-Z]\w*)\(", open(cudir + "/batch.c").read()))
tmp = tempfile.mkdtemp()
open(tmp + "/i.c", "w").write("#include <cuda.h>\n")
subprocess.check_call(["gcc", "-I" + inc, "-aux-info", tmp + "/aux", "-fsyntax-only", tmp + "/i.c"])
proto = {}
for l in open(tmp + "/aux"):
    m = re.match(r"/\*.*?\*/ extern (CUresult) (cu\w+) \((.*)\);", l)
    if m:
        proto[m[2]] = [] if m[3] == "void" else [a.strip() for a in m[3].split(",")]
hdr = open(inc + "/cuda.h").read()
mac = {}
for m in re.finditer(r"#\s*define\s+(cu[A-Z]\w*)\s+(?:__CUDA_API_PT(?:SZ|DS)\()?(cu[A-Z]\w*)\)?", hdr):
    if not m[2].endswith(("_ptsz", "_ptds")):
        mac.setdefault(m[1], m[2])
fns, renames = set(EXTRA_FN), {}
for i in sorted(ids):
    if not re.match(r"cu[A-Z]", i):
        continue
    t = i
    while mac.get(t, t) != t: t = mac[t]
    if t in ("cuStreamWaitValue32", "cuStreamWriteValue32"): t += "_v2"  # v1 is off in most drivers
    if t not in proto: continue
    fns.add(t)
    if t != i: renames[i] = t
for f in sorted(EXTRA_FN):
    b = re.sub(r"_v\d+$", "", f)
    if b != f: renames[b] = f
renames["cuGraphInstantiate"] = "cuGraphInstantiateWithFlags"
miss = [f for f in fns if f not in proto]
if miss: sys.exit("not in this cuda.h: " + " ".join(miss))
# enumerators and flag macros, with their enum type where cuda.h gives one
names = sorted(i for i in ids | set(EXTRA_ENUM) if re.match(r"(CU_|CUDA_(SUCCESS|ERROR_))", i))
etype = {}
for m in re.finditer(r"typedef enum \w+\s*\{(.*?)\}\s*(\w+);", re.sub(r"/\*.*?\*/|//[^\n]*", "", hdr, flags=re.S), re.S):
    for n in re.findall(r"\b(CU\w+)\b\s*(?:=|,|$)", m[1]): etype[n] = m[2]
    etype.setdefault("type " + m[2], m[2])
open(tmp + "/v.c", "w").write("#include <cuda.h>\n#include <stdio.h>\nint main(){" + "".join(
    f'printf("{n} %lld\\n",(long long)({n}));' for n in names) + "}")
subprocess.check_call(["gcc", "-w", "-I" + inc, tmp + "/v.c", "-o", tmp + "/v"])
val = dict(l.split() for l in subprocess.check_output([tmp + "/v"], text=True).splitlines())
used = set(re.findall(r"\bCU\w+", " ".join(" ".join(proto[f]) for f in fns))) | {i for i in ids if i.startswith("CU")}
enums = {t: [] for t in sorted({v for k, v in etype.items() if k.startswith("type ")} & used)}
loose = []
for n in names:
    t = etype.get(n)
    (enums.setdefault(t, []) if t else loose).append(f"{n} = {val[n]}")
fixed = open(os.path.dirname(os.path.abspath(__file__)) + "/cuda_types.h").read()
known = set(re.findall(r"(?:\}|typedef \w+(?: \w+)*) (CU\w+|cu\w+);|\(\*(CU\w+)\)", fixed)) 
known = {a or b for a, b in known} | set(enums)
handles = sorted(t for t in used - known if re.match(r"CU[a-z]\w*$", t) or t in ("CUDA_MEMCPY3D",))
handles = [h for h in handles if h not in names]
with open(out + "/include/cuda.h", "w") as f:
    f.write("// Generated by gen/genshim.py: the part of the CUDA driver API that this module uses. DO NOT EDIT.\n"
            "#ifndef CUDASHIM_CUDA_H\n#define CUDASHIM_CUDA_H\n#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n"
            "#define CUDA_VERSION 12000\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n")
    for h in handles: f.write(f"typedef struct {h}_st *{h};\n")
    for t, l in enums.items(): f.write(f"typedef enum {t}_enum {{ " + ", ".join(l or [f"{t}_none_used"]) + f" }} {t};\n")
    f.write("enum { " + ", ".join(loose) + " };\n")
    f.write(fixed)
    for k in sorted(renames): f.write(f"#define {k} {renames[k]}\n")
    for n in sorted(fns): f.write(f"CUresult {n}({', '.join(proto[n]) or 'void'});\n")
    f.write("#ifdef __cplusplus\n}\n#endif\n#endif\n")
with open(out + "/shim.c", "w") as f:
    f.write('//go:build cuda\n\n// Generated by gen/genshim.py. DO NOT EDIT.\n#include "include/cuda.h"\n#include "shim.h"\n')
    f.write("static struct {\n")
    for n in sorted(fns): f.write(f"  CUresult (*{n})({', '.join(proto[n]) or 'void'});\n")
    f.write("} p;\nvoid cudashim_bind(void *(*sym)(const char *)) {\n")
    for n in sorted(fns): f.write(f'  *(void **)&p.{n} = sym("{n}");\n')
    f.write("}\n")
    for n in sorted(fns):
        if n == "cuInit": continue
        a = proto[n]
        f.write(f"CUresult {n}({', '.join(f'{t} a{i}' if not t.endswith('*') else f'{t}a{i}' for i, t in enumerate(a)) or 'void'}) "
                f"{{ return p.{n} ? p.{n}({', '.join(f'a{i}' for i in range(len(a)))}) : cudashim_missing(); }}\n")
    f.write("CUresult cudashim_real_init(unsigned flags) { return p.cuInit ? p.cuInit(flags) : CUDA_ERROR_NO_DEVICE; }\n")
print(len(fns), "functions,", len(names), "constants,", "handles:", handles)
