/* What the two halves of LoRA share: which rows a block works on, for which adapter, and where the numbers lie.
 *
 * Rows are cut at segments and then into row blocks of LORA_ROWS, numbered in the order of the step:
 *
 *   segments   |  3 rows  | 1 |            37 rows             |   1 |
 *   row blocks |    0     | 1 |     2      |     3      |  4   |   5 |
 *
 * The grid has lora_row_blocks(bucket) of them, as many as there can be; those beyond the last find nothing to do.
 *
 * From the step to an element are five loads that wait for one another: segment, its first page, site (kernels/
 * lora_image.h), slab, the slab's page. Every warp makes them by itself, all lanes the same: no barrier, no shared
 * memory, and what one warp brought is in L1 for the next. */
#ifndef OPENLORA_KERNELS_CUDA_LORA_CUH
#define OPENLORA_KERNELS_CUDA_LORA_CUH

#include "kernels/cuda/step.cuh"

enum {
    LORA_ROWS = 16, LORA_THREADS = 128, LORA_MAX_SLABS = LORA_MAX_RANK / LORA_SLAB_RANKS,
    LORA_T_STRIDE = 3 * LORA_MAX_RANK
};

struct lora_work {
    int row0, n_rows; /* at most LORA_ROWS, all of one segment */
    int page0;        /* of the adapter's image in the step's page list */
    int number;       /* of the target in the operation, and what it says of it */
    int target, col0, in, out;
    struct lora_site site;
};

static inline unsigned lora_row_blocks(const struct gpu_bucket *bucket)
{
    return (unsigned)(bucket->rows / LORA_ROWS + bucket->segments);
}

/* Row block `number`; false if the step has none. `most`: no segment beyond these (the bucket's). A warp looks at 32
 * segments at a time: the scan tells each lane how many row blocks there are up to its own. */
DEVICE bool lora_find_rows(const struct step_view &v, int most, int number, struct lora_work *w)
{
    int lane = lane_id(), n_segments = ldg(&step_head(v)->n_segments);
    for (int first = 0; first < most; first += WARP) {
        int4 segment = {0, 0, 0, 0}; /* row0, n_rows, page0, n_pages; loaded while n_segments is still on its way */
        if (first + lane < most)
            segment = ldg((const int4 *)(view_segments(v) + first + lane));
        int own = first + lane < n_segments ? (segment.y + LORA_ROWS - 1) / LORA_ROWS : 0, upto = own;
        for (int by = 1; by < WARP; by *= 2) {
            int before = shfl_up(upto, by);
            upto += lane >= by ? before : 0;
        }
        unsigned beyond = warp_ballot(upto > number);
        if (beyond) {
            int owner = 0;
            while (!(beyond >> owner & 1))
                owner++;
            int skip = (number - shfl(upto - own, owner)) * LORA_ROWS;
            int left = shfl(segment.y, owner) - skip;
            w->row0 = shfl(segment.x, owner) + skip;
            w->n_rows = left < LORA_ROWS ? left : LORA_ROWS;
            w->page0 = shfl(segment.z, owner);
            return true;
        }
        number -= shfl(upto, WARP - 1);
        if (first + WARP >= n_segments)
            break;
    }
    return false;
}

DEVICE const unsigned char *lora_page(const struct op_lora &o, const struct step_view &v, const struct lora_work &w,
                                      int ordinal)
{
    int page = ldg(view_pages(v) + w.page0 + ordinal);
    return GPU_POINTER(const unsigned char, o.pool) + (size_t)page * o.page_bytes;
}

/* Target `number` of the operation. Not o.targets[number]: an argument that is indexed by a variable is copied to local
 * memory first. */
DEVICE void lora_find_target(const struct op_lora &o, int number, struct lora_work *w)
{
    w->number = number;
#pragma unroll
    for (int i = 0; i < 3; i++)
        if (i == number)
            w->target = o.targets[i].target, w->col0 = o.targets[i].col0, w->in = o.targets[i].in,
            w->out = o.targets[i].out;
}

/* The adapter's site of the target; false if it leaves it alone. */
DEVICE bool lora_find_site(const struct op_lora &o, const struct step_view &v, struct lora_work *w)
{
    const struct lora_site *sites = (const struct lora_site *)lora_page(o, v, *w, 0);
    int4 s = ldg((const int4 *)(sites + lora_site_index(o.layer, w->target)));
    w->site = {s.x, s.y, bits_to_float((uint32_t)s.z), s.w};
    return s.x > 0;
}

/* Slab i of the site: those of A ascending, then those of B. */
DEVICE const unsigned char *lora_slab(const struct op_lora &o, const struct step_view &v, const struct lora_work &w,
                                      int i)
{
    const unsigned char *page0 = lora_page(o, v, w, 0);
    const struct lora_slab *slabs =
        (const struct lora_slab *)(page0 + (size_t)o.n_layers * LORA_TARGETS * sizeof(struct lora_site));
    int2 slab = ldg((const int2 *)(slabs + w.site.slab0 + i));
    return lora_page(o, v, w, slab.x) + slab.y;
}

DEVICE int lora_slab_count(const struct lora_work &w) { return (w.site.rank + LORA_SLAB_RANKS - 1) / LORA_SLAB_RANKS; }

/* t of the first row in the workspace: LORA_MAX_RANK floats. That of the next is LORA_T_STRIDE further. */
DEVICE float *lora_t(const struct op_lora &o, const struct lora_work &w)
{
    return GPU_POINTER(float, o.workspace) + (int64_t)w.row0 * LORA_T_STRIDE + w.number * LORA_MAX_RANK;
}

#endif
