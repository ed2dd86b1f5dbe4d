"""The checks of machine code against deliberate faults: kernels that spill, lack an instruction or are not in a table; and
the occupancy against NVIDIA's own calculator. Needs nvcc, cuobjdump and nvdisasm in PATH."""
import subprocess
import sys
from pathlib import Path

import pytest

import budgets
import machine_code
import sass

KERNELS = """
#include <cuda_runtime.h>
#include <stdint.h>
namespace {
template <int N, bool WIDE> __global__ void __launch_bounds__(128) tensor(const uint4 *a, int *out)
{
    __shared__ int shared[256];
    int c[4] = {};
    uint4 v = a[threadIdx.x];
    for (int i = 0; i < N; i++)
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9},"
                     "{%0,%1,%2,%3};" : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                     : "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(i), "r"(v.x));
    shared[threadIdx.x] = c[0];
    __syncthreads();
    out[threadIdx.x] = shared[threadIdx.x ^ 1] + c[1];
}
__global__ void __launch_bounds__(32) plain(const float *a, float *out) { out[threadIdx.x] = a[threadIdx.x] * 3 + 1; }
}
#ifdef SPILLS
/* 512 threads of 128 registers at most, and 160 values that all live until the end. */
__global__ void __launch_bounds__(512) spilling(const float *a, float *out)
{
    float v[160];
    #pragma unroll
    for (int i = 0; i < 160; i++) v[i] = a[threadIdx.x + 512 * i];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < 160; i++) out[threadIdx.x + 512 * i] = v[i] * v[(i * 7 + 3) % 160];
}
#endif
extern "C" void launches(const uint4 *a, int *out, float *f)
{
    tensor<4, true><<<1, 128>>>(a, out);
    plain<<<1, 32>>>(f, f);
}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build(flag…): the kernels above as an object for sm_80 and sm_90, once per set of flags."""
    folder, built = tmp_path_factory.mktemp("kernels"), {}
    (folder / "kernels.cu").write_text(KERNELS)

    def build(*flags):
        if flags not in built:
            built[flags] = folder / f"{len(built)}.o"
            subprocess.run(["nvcc", "-std=c++17", "-gencode", "arch=compute_80,code=sm_80", "-gencode",
                            "arch=compute_90,code=sm_90", *flags, "-c", folder / "kernels.cu", "-o", built[flags]],
                           check=True)
        return built[flags]
    return build


@pytest.fixture
def budget_table(build, tmp_path):
    """The table of the kernels without a fault."""
    table = tmp_path / "budgets.txt"
    assert check("budgets", build("--fmad=false"), table, "--update")[0] == 0
    return table


def check(script, file, table, *options):
    done = subprocess.run([sys.executable, Path(__file__).with_name(f"{script}.py"), file, "--in", table, *options],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_names():
    for demangled, name in {
        "void (anonymous namespace)::tensor<4, true>(uint4 const*, int*)": "tensor<4,true>",
        "void f<(dtype)3, (int)-1>(args<(int)2>)": "f<3,-1>",
        "plain": "plain",
        "void f<unsigned char>(int (*)(int), long)": "f<unsignedchar>",
    }.items():
        assert machine_code.short_name(demangled) == name


def test_what_is_read(build):
    kernels = machine_code.read_kernels([build("--fmad=false")], instructions=True)
    assert sorted(kernels) == [("plain", 80), ("plain", 90), ("tensor<4,true>", 80), ("tensor<4,true>", 90)]
    for (name, _), k in kernels.items():
        assert (k.threads, k.shared, k.stack) == ((128, 1024, 0) if name != "plain" else (32, 0, 0))
        assert k.instructions.count("EXIT") >= 1 and k.registers < 40
        assert sum(o.startswith("IMMA.16832.S8.S8") for o in k.instructions) == (4 if name != "plain" else 0)


def test_budget_holds(build, budget_table):
    status, text = check("budgets", build("--fmad=false"), budget_table)
    assert status == 0 and "2 kernels within" in text
    assert "| `tensor<4,true>` | 128 |" in check("budgets", build("--fmad=false"), budget_table, "--table")[1]


@pytest.mark.parametrize("old, new, message", [
    ("128       0", "256       0", "launch bounds of 128 threads, the table says 256"),
    ("/1024/0", "/1023/0", "1024 bytes of static shared memory, the budget is 1023"),
    ("# ptxas ", "# ptxas 9.9.9 ", "the budgets hold for ptxas 9.9.9"),
    ("plain ", "plane ", "plain: not in budgets.txt"),
    ("plain ", "plane ", "plane: in budgets.txt, but not built for sm_90"),
    ("128       0", "128  101376", "tensor<4,true>: 102400 bytes of shared memory"),
])
def test_budget_is_broken(build, budget_table, old, new, message):
    text = budget_table.read_text()
    assert old in text
    budget_table.write_text(text.replace(old, new))
    status, said = check("budgets", build("--fmad=false"), budget_table)
    assert status == 1 and message in said


def test_fewer_registers_are_asked_for(build, budget_table):
    lines = budget_table.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("plain"))
    cells = lines[at].split()
    registers = int(cells[3].split("/")[0])
    cells[3] = f"{registers - 1}/0/0"
    budget_table.write_text("\n".join(lines[:at] + [" ".join(cells)] + lines[at + 1:]))
    status, said = check("budgets", build("--fmad=false"), budget_table)
    assert status == 1 and f"plain on sm_80: {registers} registers, the budget is {registers - 1}" in said


def test_a_spill_is_found(build, budget_table, tmp_path):
    spilling = build("--fmad=false", "-DSPILLS")
    assert machine_code.read_kernels([spilling])["spilling", 80].stack > 0
    status, said = check("budgets", spilling, budget_table)
    assert status == 1 and "spilling: not in" in said
    check("budgets", spilling, budget_table, "--update")
    budget_table.write_text("\n".join(  # someone lets it have its registers, but no stack
        line if not line.startswith("spilling") else line.rsplit("/", 1)[0] + "/0"
        for line in budget_table.read_text().splitlines()))
    status, said = check("budgets", spilling, budget_table)
    assert status == 1 and "bytes of stack, the budget is 0" in said
    table = tmp_path / "sass.txt"
    table.write_text("* never LDL STL\n*<*> must IMMA\n[ps]* must LDG\n")
    status, said = check("sass", spilling, table)
    assert status == 1 and "× STL" in said and "× LDL" in said and "tensor" not in said


@pytest.mark.parametrize("table, message", [
    ("tensor<*> must IMMA.16832.S8.S8 LDG.128 LDSM\nplain must FADD", "tensor<4,true> on sm_90: no LDSM"),
    ("tensor<*> must IMMA\nplain must FADD\nplain never FMUL", "plain on sm_80: 1 × FMUL, which must not be in it"),
    ("tensor<*> must IMMA", "plain: no line `must`"),
    ("tensor<*> must IMMA\nplain must FADD\ngone must LDG", "gone: in sass.txt, but there is no such kernel"),
    ("tensor<*> sm_90 must WGMMA\n* must IMMA\nplain must FADD", "tensor<4,true> on sm_90: no WGMMA"),
    ("tensor<*> must", "KERNEL [sm_N,…] must|never|may INSTRUCTION… is wanted"),
])
def test_sass_is_broken(build, tmp_path, table, message):
    (tmp_path / "sass.txt").write_text(table)
    status, said = check("sass", build("--fmad=false"), tmp_path / "sass.txt")
    assert status == 1 and message in said


def test_sass_holds(build, tmp_path):
    table = tmp_path / "sass.txt"
    table.write_text("* never LDL FFMA\ntensor<*> must IMMA.16832 # comment\nplain must FADD FMUL\n"
                     "* never FMUL\nplain may FMUL\n")
    assert check("sass", build("--fmad=false"), table)[0] == 0
    status, said = check("sass", build("--fmad=true"), table)  # contracted multiply-adds
    assert status == 1 and "plain on sm_80: 1 × FFMA, which must not be in it" in said


def test_patterns():
    for pattern, opcode, fits in [("LDG.128", "LDG.E.128.CONSTANT", True), ("LDG", "LDGSTS.E", False),
                                  ("LDG.CONSTANT.128", "LDG.E.128.CONSTANT", False), ("LDG.E", "LDG.E", True)]:
        assert sass.stands_for(pattern, opcode) == fits


CALCULATOR = """
#include <cstdio>
#include <cuda_occupancy.h>
int main()
{
    int v[7]; /* major, minor, warps and shared memory of a multiprocessor; threads, registers, shared memory of a block */
    while (scanf("%d%d%d%d%d%d%d", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]) == 7) {
        cudaOccDeviceProp p;
        p.computeMajor = v[0], p.computeMinor = v[1], p.maxThreadsPerBlock = 1024, p.warpSize = 32;
        p.maxThreadsPerMultiprocessor = v[2] * 32, p.regsPerBlock = p.regsPerMultiprocessor = 65536;
        p.sharedMemPerBlock = 48 << 10, p.sharedMemPerMultiprocessor = v[3], p.numSms = 1;
        p.sharedMemPerBlockOptin = v[3] - 1024, p.reservedSharedMemPerBlock = 1024;
        cudaOccFuncAttributes a;
        a.maxThreadsPerBlock = 1024, a.numRegs = v[5], a.sharedSizeBytes = 0;
        a.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN, a.maxDynamicSharedSizeBytes = v[3] - 1024, a.numBlockBarriers = 1;
        cudaOccDeviceState s;
        s.carveoutConfig = 100;
        cudaOccResult r;
        int rc = cudaOccMaxActiveBlocksPerMultiprocessor(&r, &p, &a, &s, v[4], v[6]);
        printf("%d\\n", rc == CUDA_OCC_SUCCESS ? r.activeBlocksPerMultiprocessor : -rc);
    }
}
"""


def test_occupancy_equals_nvidias(tmp_path):
    """Against cuda_occupancy.h of the toolkit, over every architecture it knows here."""
    program, source = tmp_path / "calculator", tmp_path / "calculator.cc"
    source.write_text(CALCULATOR)
    subprocess.run(["nvcc", source, "-o", program], check=True)
    cases = [(a, t, r, s) for a in (80, 86, 89, 90) for t in (32, 64, 96, 128, 160, 256, 384, 512, 1024)
             for r in (16, 24, 33, 40, 64, 65, 72, 96, 128, 168, 255) for s in (0, 100, 4096, 16000, 40960, 99 * 1024)
             if r * t <= 65536]
    lines = []
    for a, t, r, s in cases:
        limits = budgets.LIMITS[a]
        lines.append(f"{a // 10} {a % 10} {limits.warps} {limits.shared} {t} {r} {s}")
    done = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True)
    assert [budgets.blocks_per_sm(*c) for c in cases] == [int(n) for n in done.stdout.split()]
