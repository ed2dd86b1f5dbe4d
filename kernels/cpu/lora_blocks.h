/* How the LoRA phases are cut into tiles, and where an adapter's numbers lie (layout in lora_image.h). */
#ifndef OPENLORA_KERNELS_CPU_LORA_BLOCKS_H
#define OPENLORA_KERNELS_CPU_LORA_BLOCKS_H

#include "kernels/cpu/cpu.h"

enum {
    LORA_BLOCK_ROWS = 16,   /* rows of one tile, all of one segment */
    LORA_BLOCK_COLS = 1024, /* columns of y of one expand tile */
};

/* Some rows of one segment at one (layer, target). */
struct lora_block {
    const struct step_segment *segment;
    int row0, n_rows;
    const struct lora_site *site;   /* rank 0: nothing to do */
    const struct lora_slab *slabs;  /* of the site: ceil(rank/16) of A, then as many of B */
};

static inline int lora_row_blocks(const struct step *s)
{
    int n = 0;
    for (int i = 0; i < s->n_segments; i++)
        n += (step_segments(s)[i].n_rows + LORA_BLOCK_ROWS - 1) / LORA_BLOCK_ROWS;
    return n;
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

/* The row block `index` of the step at target number `target` of the operation. */
static inline struct lora_block lora_block_at(const struct op_lora *o, int index, int target)
{
    const struct step *s = host(o->step);
    const struct step_segment *segment = step_segments(s);
    for (; index * LORA_BLOCK_ROWS >= segment->n_rows; segment++)
        index -= (segment->n_rows + LORA_BLOCK_ROWS - 1) / LORA_BLOCK_ROWS;
    int first = index * LORA_BLOCK_ROWS, left = segment->n_rows - first;
    const struct lora_site *sites = (const struct lora_site *)lora_page(o, segment, 0);
    const struct lora_slab *slabs = (const struct lora_slab *)(sites + o->n_layers * LORA_TARGETS);
    const struct lora_site *site = &sites[lora_site_index(o->layer, o->targets[target].target)];
    return (struct lora_block){segment, segment->row0 + first, left < LORA_BLOCK_ROWS ? left : LORA_BLOCK_ROWS, site,
                               slabs + site->slab0};
}

/* t of one row and target in the workspace: LORA_MAX_RANK floats. */
static inline float *lora_t(const struct op_lora *o, int64_t row, int target)
{
    return (float *)host(o->workspace) + (row * 3 + target) * LORA_MAX_RANK;
}

#endif
