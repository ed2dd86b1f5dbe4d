/* Packed weights: the layout that all instruction sets share.
 *
 * A group is 16 consecutive rows. Within a group, blocks follow one another along the columns. All but the float
 * types are cut into units of 32 columns; a unit's values lie in vectors of 64 bytes, byte 4·r + c of vector t
 * belonging to row r of the group:
 *
 *   nibbles  4 vectors: low half = column 4t + c, high half = column 16 + 4t + c
 *   bits     1 vector:  bit i = bit 4 of column 4i + c, i = 0 .. 7             (Q5_0)
 *   pairs    2 vectors: vector h, bits 2i and 2i+1 = bits 4 and 5 of column 16h + 4i + c, i = 0 .. 3  (Q6_K)
 *   bytes    8 vectors: value + 128 of column 4t + c                           (Q8_0)
 *
 * Four neighbouring columns of a row are thus one 32-bit lane: the shape that int8 dot-product instructions read.
 * Per-row numbers ([16], row r at index r) are stored by column after the values they belong to:
 *
 *   F32, F16, BF16   per column: value[16]
 *   Q4_0   288 bytes: nibbles, d f16[16]
 *   Q4_1   320 bytes: nibbles, d f16[16], m f16[16]
 *   Q5_0   352 bytes: nibbles, bits, d f16[16]
 *   Q8_0   544 bytes: bytes, d f16[16]
 *   Q4_K  2368 bytes per 256 columns: d f16[16], dmin f16[16], then 8 units: nibbles, sc u8[16], m u8[16]
 *   Q6_K  3360 bytes per 256 columns: d f16[16], then 8 units: nibbles, pairs, sc s8[16] of columns 0–15, of 16–31
 *
 * Packing moves bits and changes none; all sizes are the file's own but Q4_K's, whose 6-bit scales get a byte each.
 * Rows that pad the last group are zero bytes in file form: their results are never stored. */
#ifndef OPENLORA_KERNELS_CPU_PACK_H
#define OPENLORA_KERNELS_CPU_PACK_H

#include "kernels/cpu/cpu.h"

enum {
    GROUP_ROWS = 16,
    UNIT_COLS = 32,
    NIBBLES_BYTES = 256, BITS_BYTES = 64, PAIRS_BYTES = 128, BYTES_BYTES = 512, /* of one unit */
    F16_BYTES = 2 * GROUP_ROWS,
    Q4_0_BYTES = NIBBLES_BYTES + F16_BYTES,
    Q4_1_BYTES = NIBBLES_BYTES + 2 * F16_BYTES,
    Q5_0_BYTES = NIBBLES_BYTES + BITS_BYTES + F16_BYTES,
    Q8_0_BYTES = BYTES_BYTES + F16_BYTES,
    SUPER_UNITS = 8, /* units of a super-block */
    Q4_K_HEAD = 2 * F16_BYTES, Q4_K_UNIT = NIBBLES_BYTES + 2 * GROUP_ROWS,
    Q4_K_BYTES = Q4_K_HEAD + SUPER_UNITS * Q4_K_UNIT,
    Q6_K_HEAD = F16_BYTES, Q6_K_UNIT = NIBBLES_BYTES + PAIRS_BYTES + 2 * GROUP_ROWS,
    Q6_K_BYTES = Q6_K_HEAD + SUPER_UNITS * Q6_K_UNIT,
};

/* Bytes of one block (dtype_info.block columns) of one group. */
static inline size_t packed_block_bytes(enum dtype t)
{
    return t == DTYPE_Q4_K ? Q4_K_BYTES : (size_t)dtype_info(t)->bytes * GROUP_ROWS;
}

int64_t weight_rows(const struct weight *);
int64_t weight_cols(const struct weight *);
enum dtype weight_dtype(const struct weight *);

static inline int64_t weight_groups(const struct weight *w) { return (w->rows + GROUP_ROWS - 1) / GROUP_ROWS; }

/* One row's share of one unit of a quantized weight, in plain numbers. */
struct unit {
    int8_t q[UNIT_COLS]; /* offset already subtracted */
    float d;             /* Q4_K: d·sc; Q6_K: the super-block's d */
    float m;             /* Q4_1: m; Q4_K: −(dmin·m) */
    bool has_min;
    int32_t sc[2];       /* Q6_K: scales of the two halves; else 1, 1 */
};

/* Columns 32·u .. of row `row` (0 .. rows−1). */
void weight_unit(const struct weight *w, int64_t row, int64_t u, struct unit *out);

/* Whole row, dequantized as dequantize_row does; dst: w->cols floats. */
void weight_row(const struct weight *w, int64_t row, float *dst);

#endif
