/* Faults on demand: OPENLORA_SIMT_FAULT=KIND@N, several separated by commas. N counts from 1.
 *
 *   address@N   the N-th kernel of the process reads where nothing is: cudaErrorIllegalAddress
 *   launch@N    the N-th kernel fails: cudaErrorLaunchFailure
 *   ecc@N       memory is found corrupt before the N-th kernel: cudaErrorECCUncorrectable
 *   hang@N      the N-th kernel never ends
 *   memory@N    the N-th allocation on a GPU is refused: cudaErrorMemoryAllocation, once
 *
 * All but the last are sticky, as on a GPU: whoever synchronises next is told, and so is every later call. */
#include "tests/simt/faults.h"
#include "tests/simt/engine.h"
#include "tests/simt/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace simt {

static const struct {
    const char *name;
    cudaError_t code;
} kinds[] = {
    {"address", cudaErrorIllegalAddress}, {"launch", cudaErrorLaunchFailure},      {"ecc", cudaErrorECCUncorrectable},
    {"hang", cudaErrorLaunchTimeout},     {"memory", cudaErrorMemoryAllocation},
};

struct fault {
    cudaError_t code;
    uint64_t at;
};

static std::vector<fault> planned;
static uint64_t kernels, allocations;
static cudaError_t sticky[MAX_DEVICES];

static void plan(const char *text)
{
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, "@,");
        cudaError_t code = cudaSuccess;
        for (const auto &k : kinds)
            if (strlen(k.name) == length && !strncmp(k.name, at, length))
                code = k.code;
        char *end = nullptr;
        uint64_t n = at[length] == '@' ? strtoull(at + length + 1, &end, 10) : 0;
        if (code == cudaSuccess || !n || (*end && *end != ',')) {
            fprintf(stderr, "simt: a fault is KIND@N with KIND address, launch, ecc, hang or memory, not \"%s\"\n", at);
            abort();
        }
        planned.push_back({code, n});
        at = *end ? end + 1 : end;
    }
}

static bool due(bool allocation, uint64_t n, cudaError_t *code)
{
    static bool read_environment;
    if (!read_environment) {
        read_environment = true;
        if (getenv("OPENLORA_SIMT_FAULT"))
            plan(getenv("OPENLORA_SIMT_FAULT"));
    }
    for (const fault &f : planned)
        if (f.at == n && (f.code == cudaErrorMemoryAllocation) == allocation) {
            *code = f.code;
            return true;
        }
    return false;
}

cudaError_t device_error(int device) { return device >= 0 && device < MAX_DEVICES ? sticky[device] : cudaSuccess; }

bool fault_now(int device)
{
    cudaError_t code;
    if (!due(false, ++kernels, &code))
        return false;
    if (code == cudaErrorLaunchTimeout)
        for (;;)
            pause();
    sticky[device] = code;
    return true;
}

bool refuse_allocation()
{
    cudaError_t code;
    return due(true, ++allocations, &code);
}

} // namespace simt

extern "C" void simt_fault(const char *text)
{
    std::lock_guard<std::recursive_mutex> guard(simt::engine);
    simt::planned.clear();
    simt::kernels = simt::allocations = 0;
    memset(simt::sticky, 0, sizeof simt::sticky);
    simt::plan(text);
}
