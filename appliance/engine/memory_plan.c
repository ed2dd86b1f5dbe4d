/* Where a device's memory went, for people. */
#include "engine/engine.h"

#include <stdio.h>

static double gib(size_t bytes) { return (double)bytes / (double)((size_t)1 << 30); }

void memory_plan_text(const struct memory_plan *p, const char *device, char *out, size_t bytes)
{
    char driver[80] = "";
    if (p->driver_bytes || p->reserve_bytes)
        snprintf(driver, sizeof driver, "driver and graphs %.2f, reserve %.2f, ", gib(p->driver_bytes),
                 gib(p->reserve_bytes));
    snprintf(out, bytes, "memory of %s: %.2f GiB, %.2f free; weights %.2f, activations and workspaces %.2f, %spool "
             "%.2f: %d pages of %zu KiB for %lld tokens or %d adapters of rank 16", device, gib(p->total_bytes),
             gib(p->free_bytes), gib(p->weights_bytes), gib(p->work_bytes), driver, gib(p->pool_bytes), (int)p->n_pages,
             p->page_bytes >> 10, (long long)p->n_pages * STEP_PAGE_TOKENS,
             p->adapter_pages ? (int)(p->n_pages / p->adapter_pages) : 0);
}
