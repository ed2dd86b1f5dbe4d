#!/usr/bin/env python3
"""Compiles the CUDA backend with CUDA 12.4, the oldest that is supported. FOLDER: its wheels, unpacked.

NVIDIA packages no nvcc of that age, but the runtime compiler, which has the same front end, code generator and ptxas. It
knows device code alone, so host functions of a .cu file count as device functions (they are compiled, never run), and
the two calls of the runtime that dialect.cuh's launch() makes are declared here: that a kernel is launched is what makes
the compiler keep it. The C files go through gcc with the headers of 12.4."""
import ctypes
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = (80, 86, 89, 90)
BEFORE = """\
#define __typeof decltype
#include <cuda_runtime_api.h>
extern "C" cudaError_t launched(const void *kernel);
inline cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return cudaSuccess; }
template <class... P, class... A> cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *, void (*kernel)(P...), A...)
{
    return launched((const void *)kernel);
}
"""


def system_includes():
    """Where gcc looks for C headers; those of C++ are beyond this compiler."""
    done = subprocess.run(["gcc", "-E", "-x", "c", "-v", "/dev/null"], capture_output=True, text=True, check=True)
    listed = done.stderr.split("#include <...> search starts here:")[1].split("End of search list")[0]
    return listed.split()


class Compiler:
    def __init__(self, folder):
        self.library = ctypes.CDLL(str(folder / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))
        self.includes = [ROOT, ROOT / "appliance"] + [folder / "nvidia" / p / "include" for p in
                                                      ("cuda_runtime", "cuda_nvcc")]

    def compile(self, source, architecture):
        """What the compiler says, when it refuses or warns."""
        text = BEFORE + f'#include "{source.relative_to(ROOT)}"\n'
        options = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--fmad=false", "-default-device", "-rdc=true",
                   "-D__x86_64__", "-D__LP64__", "-D_GNU_SOURCE", "-diag-suppress=20044"]  # of math.h's signgam
        options += [f"-I{p}" for p in self.includes + system_includes()]
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        as_bytes = [o.encode() for o in options]
        self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), source.name.encode(), 0, None, None)
        rc = self.library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*as_bytes))
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
        done = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", '-DOPENLORA_VERSION="0.0.0"', "-fsyntax-only", "-Wall",
                               "-Wextra", *includes, source], capture_output=True, text=True)
        return done.stderr.strip()


def main():
    compiler = Compiler(Path(sys.argv[1]))
    kernels = sorted((ROOT / "kernels/cuda").glob("*.cu"))
    said = [(f"{s.name} for sm_{a}", compiler.compile(s, a)) for s in kernels for a in ARCHITECTURES]
    said += [(s.name, compiler.check_c(s)) for s in sorted((ROOT / "kernels/cuda").glob("*.c"))]
    faults = [(what, text) for what, text in said if text]
    for what, text in faults:
        print(f"CUDA 12.4, {what}:\n{text[:2000]}", file=sys.stderr)
    print(f"CUDA 12.4: {len(said) - len(faults)} of {len(said)} compilations without a word")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
