/* How the LoRA phases are cut into tiles, and where an adapter's numbers lie (layout in lora_image.h). */
#ifndef OPENLORA_KERNELS_CPU_LORA_BLOCKS_H
#define OPENLORA_KERNELS_CPU_LORA_BLOCKS_H

#include "kernels/cpu/cpu.h"

enum { LORA_BLOCK_ROWS = 16 };

/* Some rows of one segment at one target of the operation. Blocks of a step are numbered by rows, then by target. */
struct lora_block {
    const struct step_segment *segment;
    int row0, n_rows;               /* at most LORA_BLOCK_ROWS */
    int target;                     /* number among the operation's targets */
    const struct lora_site *site;   /* rank 0: nothing to do */
    const struct lora_slab *slabs;  /* of the site: ceil(rank/16) of A, then as many of B */
};

static inline int lora_block_count(const struct op_lora *o)
{
    const struct step *s = host(o->step);
    int n = 0;
    for (int i = 0; i < s->n_segments; i++)
        n += (step_segments(s)[i].n_rows + LORA_BLOCK_ROWS - 1) / LORA_BLOCK_ROWS;
    return n * o->n_targets;
}

static inline const char *lora_page(const struct op_lora *o, const struct step_segment *segment, int ordinal)
{
    int32_t page = step_pages(host(o->step))[segment->page0 + ordinal];
    return (const char *)host(o->pool) + (size_t)page * o->page_bytes;
}

static inline const void *lora_slab_data(const struct op_lora *o, const struct lora_block *b, int slab)
{
    return lora_page(o, b->segment, b->slabs[slab].page) + b->slabs[slab].offset;
}

static inline int lora_slab_count(const struct lora_site *site)
{
    return (site->rank + LORA_SLAB_RANKS - 1) / LORA_SLAB_RANKS;
}

/* The block of a segment that begins with its row `first`. */
static inline struct lora_block lora_block_of(const struct op_lora *o, const struct step_segment *segment, int first,
                                              int target)
{
    const struct lora_site *sites = (const struct lora_site *)lora_page(o, segment, 0);
    const struct lora_slab *slabs = (const struct lora_slab *)(sites + o->n_layers * LORA_TARGETS);
    const struct lora_site *site = &sites[lora_site_index(o->layer, o->targets[target].target)];
    int left = segment->n_rows - first;
    return (struct lora_block){segment, segment->row0 + first, left < LORA_BLOCK_ROWS ? left : LORA_BLOCK_ROWS, target,
                               site, slabs + site->slab0};
}

static inline struct lora_block lora_block_at(const struct op_lora *o, int index)
{
    const struct step_segment *segment = step_segments(host(o->step));
    int rows = index / o->n_targets;
    for (; rows * LORA_BLOCK_ROWS >= segment->n_rows; segment++)
        rows -= (segment->n_rows + LORA_BLOCK_ROWS - 1) / LORA_BLOCK_ROWS;
    return lora_block_of(o, segment, rows * LORA_BLOCK_ROWS, index % o->n_targets);
}

/* The block after b, which is not the last one. */
static inline struct lora_block lora_block_after(const struct op_lora *o, const struct lora_block *b)
{
    int first = b->row0 - b->segment->row0;
    if (b->target + 1 < o->n_targets)
        return lora_block_of(o, b->segment, first, b->target + 1);
    if (first + b->n_rows < b->segment->n_rows)
        return lora_block_of(o, b->segment, first + b->n_rows, 0);
    return lora_block_of(o, b->segment + 1, 0, 0);
}

/* t of one row and target in the workspace: LORA_MAX_RANK floats. */
static inline float *lora_t(const struct op_lora *o, int64_t row, int target)
{
    return (float *)host(o->workspace) + (row * 3 + target) * LORA_MAX_RANK;
}

#endif
