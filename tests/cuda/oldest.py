#!/usr/bin/env python3
"""Compiles the CUDA backend with CUDA 12.4, the oldest that is supported. FOLDER: its wheels, unpacked.

NVIDIA packages no nvcc of that age, but the runtime compiler, which has the same front end, code generator and ptxas. It
knows device code alone, so host functions of a .cu file count as device functions (they are compiled, never run), and
the two calls of the runtime that dialect.cuh's launch() makes are declared here: that a kernel is launched is what makes
the compiler keep it. The C files go through gcc with the headers of 12.4."""
import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = (80, 90)
BEFORE = """\
#include <cuda_runtime_api.h>
extern "C" cudaError_t launched(const void *kernel);
inline cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return cudaSuccess; }
template <class... P, class... A> cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *, void (*kernel)(P...), A...)
{
    return launched((const void *)kernel);
}
"""


# The compiler declares memcpy and the like by itself, in its own way; the system's headers contradict it.
SYSTEM_HEADERS = {
    "stdint.h": "".join(f"typedef {c} int{n}_t; typedef unsigned {c} uint{n}_t;\n" for n, c in
                        ((8, "char"), (16, "short"), (32, "int"), (64, "long"))).replace("typedef char", "typedef signed char")
                + "typedef unsigned long uintptr_t; typedef long intptr_t;\n",
    "math.h": "#define INFINITY __int_as_float(0x7f800000)\n", "limits.h": "#define INT_MAX 2147483647\n",
    "float.h": "#define FLT_MAX 3.402823466e+38F\n#define FLT_MIN 1.175494351e-38F\n",
    "pthread.h": "struct pthread_mutex_t { long of_the_host; };\nstruct pthread_cond_t { long of_the_host; };\n",
    "stddef.h": "", "stdbool.h": "", "stdarg.h": "", "string.h": "", "stdio.h": "", "stdlib.h": "",
}


def strings(texts):
    return (ctypes.c_char_p * len(texts))(*(t.encode() for t in texts))


class Compiler:
    def __init__(self, folder):
        self.library = ctypes.CDLL(str(folder / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))
        self.includes = [ROOT, ROOT / "appliance"] + [folder / "nvidia" / p / "include" for p in
                                                      ("cuda_runtime", "cuda_nvcc")]

    def compile(self, source, architecture):
        """What the compiler says, when it refuses or warns."""
        text = BEFORE + f'#include "{source.relative_to(ROOT)}"\n'
        options = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--fmad=false", "-default-device",
                   "-rdc=true", *(f"-I{p}" for p in self.includes)]
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), source.name.encode(), len(SYSTEM_HEADERS),
                                        strings(SYSTEM_HEADERS.values()), strings(SYSTEM_HEADERS))
        rc = self.library.nvrtcCompileProgram(program, len(options), strings(options))
        self.library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self.library.nvrtcGetProgramLog(program, log)
        self.library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        if rc == 0 and not size.value:
            return "no machine code"
        return log.value.decode().strip() or ("" if rc == 0 else f"error {rc}")

    def check_c(self, source):
        includes = [f"-I{p}" for p in self.includes[:2]] + [f"-isystem{p}" for p in self.includes[2:]]
        includes += ["-idirafter", ROOT / "tests/simt/include"]  # cuBLASLt as the emulator declares it: its wheel is large
        done = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", '-DOPENLORA_VERSION="0.0.0"', "-fsyntax-only", "-Wall",
                               "-Wextra", *includes, source], capture_output=True, text=True)
        return done.stderr.strip()


def main():
    compiler = Compiler(Path(sys.argv[1]))
    work = [(s, a) for s in sorted((ROOT / "kernels/cuda").glob("*.cu")) for a in ARCHITECTURES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(zip((f"{s.name} for sm_{a}" for s, a in work), pool.map(lambda w: compiler.compile(*w), work)))
    said += [(s.name, compiler.check_c(s)) for s in sorted((ROOT / "kernels/cuda").glob("*.c"))]
    faults = [(what, text) for what, text in said if text]
    for what, text in faults:
        print(f"CUDA 12.4, {what}:\n{text[:2000]}", file=sys.stderr)
    print(f"CUDA 12.4: {len(said) - len(faults)} of {len(said)} compilations without a word")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
