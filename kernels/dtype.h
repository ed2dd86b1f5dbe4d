/* Element types of weights as stored in files, and their blocks.
 *
 * A block type stores `block` consecutive weights of one row in `bytes` bytes (GGUF's ggml block formats). */
#ifndef OPENLORA_KERNELS_DTYPE_H
#define OPENLORA_KERNELS_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q4_0, /* w = d·(q−8),        d f16, 32 × 4 bit */
    DTYPE_Q4_1, /* w = d·q + m,        d, m f16, 32 × 4 bit */
    DTYPE_Q5_0, /* w = d·(q−16),       d f16, 32 × 5 bit */
    DTYPE_Q8_0, /* w = d·q,            d f16, 32 × int8 */
    DTYPE_Q4_K, /* w = d·sc·q − dmin·m, 8 sub-blocks of 32, 6-bit sc and m */
    DTYPE_Q6_K, /* w = d·sc·(q−32),    16 sub-blocks of 16, int8 sc */
    DTYPE_COUNT
};

struct dtype_info {
    const char *name; /* as GGUF names it: "Q4_1" */
    int block;        /* weights per block */
    int bytes;        /* bytes per block */
};

static inline const struct dtype_info *dtype_info(enum dtype t)
{
    static const struct dtype_info table[DTYPE_COUNT] = {
        {"F32", 1, 4},    {"F16", 1, 2},    {"BF16", 1, 2},     {"Q4_0", 32, 18},  {"Q4_1", 32, 20},
        {"Q5_0", 32, 22}, {"Q8_0", 32, 34}, {"Q4_K", 256, 144}, {"Q6_K", 256, 210},
    };
    return &table[t];
}

static inline int dtype_is_quantized(enum dtype t) { return t >= DTYPE_Q4_0; }

/* Bytes of one row of `cols` weights; 0 if cols is not a whole number of blocks. */
static inline size_t dtype_row_bytes(enum dtype t, int64_t cols)
{
    const struct dtype_info *d = dtype_info(t);
    return cols <= 0 || cols % d->block ? 0 : (size_t)(cols / d->block) * (size_t)d->bytes;
}

#endif
