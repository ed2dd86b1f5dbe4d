/* Copies of whole pages. A tile is a slice of the page, and does all copies of that slice in their order, so that a
 * page may be filled by one copy and read by a later one. */
#include "kernels/cpu/phases.h"

#include <string.h>

enum { SLICE_BYTES = 64 << 10 };

static int tiles(const void *arg, int threads)
{
    (void)threads;
    const struct op_copy_pages *op = arg;
    const struct step *s = host(op->step);
    return s->n_copies ? (int)((op->page_bytes + SLICE_BYTES - 1) / SLICE_BYTES) : 0;
}

static void run(const void *arg, int tile, int n_tiles, int worker)
{
    (void)n_tiles, (void)worker;
    const struct op_copy_pages *op = arg;
    const struct step *s = host(op->step);
    size_t at = (size_t)tile * SLICE_BYTES, left = op->page_bytes - at;
    char *slice = (char *)host(op->pool) + at;
    for (int i = 0; i < s->n_copies; i++) {
        const struct step_copy *c = &step_copies(s)[i];
        memcpy(slice + (size_t)c->dst_page * op->page_bytes, slice + (size_t)c->src_page * op->page_bytes,
               left < SLICE_BYTES ? left : SLICE_BYTES);
    }
}

const struct cpu_phase copy_pages_ref = {tiles, run};
const struct cpu_phase copy_pages_avx2 = {tiles, run};
const struct cpu_phase copy_pages_avx512 = {tiles, run};
