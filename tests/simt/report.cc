/* Reports of broken rules. The process ends: what a GPU would do next is undefined. */
#include "tests/simt/memory.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace simt {

static const char *short_name(const char *file)
{
    const char *at = file ? strstr(file, "kernels/") : nullptr;
    return at ? at : file ? file : "?";
}

static void head(const block *b, const lane *l, place at)
{
    fflush(stdout);
    fprintf(stderr, "simt: ");
    if (at.file)
        fprintf(stderr, "%s:%d: ", short_name(at.file), at.line);
    if (b)
        fprintf(stderr, "%s, block (%u, %u, %u)", b->launch->name, b->index.x, b->index.y, b->index.z);
    if (l)
        fprintf(stderr, ", thread (%u, %u, %u) = lane %d of warp %d", l->thread.x, l->thread.y, l->thread.z,
                l->number % LANES, l->number / LANES);
}

[[noreturn]] static void end()
{
    fprintf(stderr, "\nsimt: same order again: OPENLORA_SIMT_SEED=%llu\n", (unsigned long long)seed());
    fflush(stderr);
    abort();
}

void violation(place at, const char *format, ...)
{
    va_list args;
    const lane *l = current;
    head(l ? l->block : nullptr, l, at);
    fprintf(stderr, l ? ": " : "");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    end();
}

/* A fault at an address of device memory or shared memory: somebody went around the emulator. */
static void on_fault(int number, siginfo_t *info, void *)
{
    uintptr_t p = (uintptr_t)info->si_addr;
    if (p - memory.base < memory.bytes)
        violation(place{}, "access to device memory at %p without ld, st or their like%s", (void *)p,
                  current ? "" : " (by the host: only the runtime's copies can)");
    if (p - memory.shared + MAX_SHARED_BYTES / 2 < 2 * MAX_SHARED_BYTES)
        violation(place{}, "access to offset %zd of shared memory without lds, sts or their like",
                  (ssize_t)(p - memory.shared));
    if (current && p - (uintptr_t)current->context.stack + 4096 < 4096)
        violation(place{}, "this thread's stack is full");
    signal(number, SIG_DFL);
}

void report_faults()
{
    static char stack[64 * 1024];
    stack_t other = {};
    other.ss_sp = stack;
    other.ss_size = sizeof stack;
    sigaltstack(&other, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
}

void violation_of(const block *b, place at, const char *format, ...)
{
    va_list args;
    head(b, nullptr, at);
    fprintf(stderr, ": ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    end();
}

} // namespace simt
