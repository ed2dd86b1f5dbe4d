/* Packed weights on the GPU: one allocation, whose layout pack.c writes and matmul.cuh reads.
 *
 * F32, F16, BF16: rows as in the file, each padded with zeros to a multiple of 64 bytes.
 *
 * Quantized types: tiles of 16 rows, one after another. A tile is cut along the columns into pairs: two blocks of 32
 * columns, which is what every lane of a warp fetches with one 16-byte load if a value has 4 bits. With g = lane / 4,
 * t = lane % 4, lane l's share of a block is its A fragment of mma m16n8k32 (dialect.cuh): registers i = 0 .. 3 are
 * columns 4t .. 4t+3 of row g (i = 0) and row g + 8 (1), columns 16 + 4t .. of row g (2) and row g + 8 (3).
 *
 *   nibbles  512 bytes: at 16l + 8·block + 4·half, byte c: register `half` in its low 4 bits, 2 + half in its high ones
 *   bits     128 bytes: at 4l, byte c, bit 4·block + i: bit 4 of register i's byte c                          (Q5_0)
 *   pairs    256 bytes: at 8l + 4·block, byte c, bits 2i, 2i+1: bits 4, 5 of register i's byte c              (Q6_K)
 *   bytes   1024 bytes: at 512·block + 16l + 4i: register i                                                   (Q8_0)
 *
 * `half` 0 is row g, 1 is row g + 8. Then what a row has once per block, so that the numbers a lane needs to fold its
 * results (rows g and g + 8, both blocks) are neighbours, the same ones for its 4 lanes:
 *
 *   Q4_0   576 bytes: nibbles, then at 8g  + 4·block + 2·half: d f16
 *   Q4_1   640 bytes: nibbles, then at 16g + 8·block + 4·half: d f16, m f16
 *   Q5_0   704 bytes: nibbles, bits, d as Q4_0
 *   Q8_0  1088 bytes: bytes, d as Q4_0
 *   Q4_K   576 bytes: nibbles, then at 8g  + 4·block + 2·half: sc u8, m u8
 *   Q6_K   832 bytes: nibbles, pairs, then at 8g + 4·block + 2·half: sc s8 of columns 0–15, of 16–31
 *
 * Before each 4 pairs (256 columns) of a K-quant stands the head of its super-blocks:
 *
 *   Q4_K    64 bytes: at 8g + 4·half: d f16, dmin f16
 *   Q6_K    32 bytes: at 4g + 2·half: d f16
 *
 * Packing moves bits and changes none. Sizes are the file's own, but for Q4_K, whose 6-bit scales get a byte each
 * (+ 2.8 %). Rows that fill up the last tile and the block that fills up the last pair are zero bytes, never used. */
#ifndef OPENLORA_KERNELS_CUDA_WEIGHT_H
#define OPENLORA_KERNELS_CUDA_WEIGHT_H

#include "kernels/ops.h"

enum {
    TILE_ROWS = 16, BLOCK_COLS = 32, PAIR_COLS = 64, HEAD_PAIRS = 4, /* pairs between two heads */
    NIBBLES_BYTES = 512, BITS_BYTES = 128, PAIRS_BYTES = 256, BYTES_BYTES = 1024,
    FLOAT_PITCH = 64, /* rows of float weights begin at multiples of it */
};

struct weight {
    enum dtype dtype;
    int64_t rows, cols; /* as loaded, before padding */
    dptr data;
    size_t bytes;
    size_t stride;      /* of a tile, or of a row of floats */
    struct gpu_blas *blas; /* multiplies it with many rows (cublaslt.h); NULL: the exact kernels do */
};

/* Bytes of a pair and of a head. */
HOST_DEVICE size_t quant_pair_bytes(enum dtype t)
{
    switch (t) {
    case DTYPE_Q4_0: case DTYPE_Q4_K: return NIBBLES_BYTES + 64;
    case DTYPE_Q4_1: return NIBBLES_BYTES + 128;
    case DTYPE_Q5_0: return NIBBLES_BYTES + BITS_BYTES + 64;
    case DTYPE_Q8_0: return BYTES_BYTES + 64;
    case DTYPE_Q6_K: return NIBBLES_BYTES + PAIRS_BYTES + 64;
    default: return 0;
    }
}

HOST_DEVICE size_t quant_head_bytes(enum dtype t) { return t == DTYPE_Q4_K ? 64 : t == DTYPE_Q6_K ? 32 : 0; }

/* Where in its tile pair p lies, and the head that serves it. */
HOST_DEVICE size_t quant_head_at(enum dtype t, int64_t p)
{
    return (size_t)(p / HEAD_PAIRS) * (quant_head_bytes(t) + HEAD_PAIRS * quant_pair_bytes(t));
}
HOST_DEVICE size_t quant_pair_at(enum dtype t, int64_t p)
{
    return (size_t)(p / HEAD_PAIRS + 1) * quant_head_bytes(t) + (size_t)p * quant_pair_bytes(t);
}

#endif
