/* The image of a LoRA adapter, as it lies in pool pages.
 *
 * An image is a list of pages, each `page_bytes` long. Page 0 starts with the site table, then the slab table;
 * slabs follow, each whole inside one page, 64-byte aligned. A slab holds at most 16 ranks of one side of one
 * (layer, target): a rank-4 adapter costs a rank-4 adapter, and any rank fits.
 *
 * Site (layer, target): y += scale · B (A x), A: (rank, in), B: (out, rank).
 *   A slab i: (ranks, in_padded) row-major:  A[16·i + r][k]
 *   B slab i: (ranks, out_padded) row-major: B[n][16·i + r], that is B transposed
 * in_padded, out_padded: rounded up to 16, zero-filled. Elements are F16 or F32 (`dtype`). */
#ifndef OPENLORA_KERNELS_LORA_IMAGE_H
#define OPENLORA_KERNELS_LORA_IMAGE_H

#include "kernels/host_device.h"

#include <stdint.h>

enum lora_target {
    LORA_Q, LORA_K, LORA_V, LORA_O, LORA_GATE, LORA_UP, LORA_DOWN, LORA_TARGETS
};

enum { LORA_SLAB_RANKS = 16, LORA_MAX_RANK = 256 };

struct lora_site {
    int32_t rank;  /* 0: this adapter does not touch this (layer, target) */
    int32_t dtype; /* DTYPE_F16 or DTYPE_F32 */
    float scale;   /* alpha / rank, or alpha / sqrt(rank) for rsLoRA, times the adapter's own weight */
    int32_t slab0; /* first of 2·ceil(rank/16) slabs: all A slabs ascending, then all B slabs */
};

struct lora_slab {
    int32_t page;   /* ordinal within the image */
    int32_t offset; /* bytes within that page */
};

/* Site of (layer, target) in the table at the start of page 0; slabs start right after n_layers·LORA_TARGETS sites. */
HOST_DEVICE int32_t lora_site_index(int32_t layer, int32_t target) { return layer * LORA_TARGETS + target; }

#endif
