/* Reports of broken rules. The process ends: what a GPU would do next is undefined. */
#include "tests/simt/machine.h"

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
