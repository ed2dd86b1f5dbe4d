/* Packed weights read back in plain numbers, one row and 32 columns at a time: what the reference product and the
 * embedding are written with. */
#include "kernels/cpu/f16.h"
#include "kernels/cpu/pack.h"

static float half_at(const uint8_t *numbers, int r) { return f16_load(numbers + 2 * r); }

/* Parts of the value at column `col` of row r. */
static int nibble_at(const uint8_t *p, int r, int col)
{
    int byte = p[64 * (col % 16 / 4) + 4 * r + col % 4];
    return col < 16 ? byte & 15 : byte >> 4;
}

static int bit_at(const uint8_t *p, int r, int col) { return p[4 * r + col % 4] >> col / 4 & 1; }

static int pair_at(const uint8_t *p, int r, int col)
{
    return p[64 * (col / 16) + 4 * r + col % 4] >> 2 * (col % 16 / 4) & 3;
}

static void unit_q4(const uint8_t *p, int r, int offset, struct unit *out)
{
    for (int c = 0; c < UNIT_COLS; c++)
        out->q[c] = (int8_t)(nibble_at(p, r, c) - offset);
}

static void unit_q5_0(const uint8_t *p, int r, struct unit *out)
{
    for (int c = 0; c < UNIT_COLS; c++)
        out->q[c] = (int8_t)((nibble_at(p, r, c) | bit_at(p + NIBBLES_BYTES, r, c) << 4) - 16);
    out->d = half_at(p + NIBBLES_BYTES + BITS_BYTES, r);
}

static void unit_q8_0(const uint8_t *p, int r, struct unit *out)
{
    for (int c = 0; c < UNIT_COLS; c++)
        out->q[c] = (int8_t)(p[64 * (c / 4) + 4 * r + c % 4] - 128);
    out->d = half_at(p + BYTES_BYTES, r);
}

static void unit_q4_k(const uint8_t *block, int r, int64_t u, struct unit *out)
{
    const uint8_t *p = block + Q4_K_HEAD + u * Q4_K_UNIT;
    unit_q4(p, r, 0, out);
    out->d = half_at(block, r) * (float)p[NIBBLES_BYTES + r];
    out->m = -(half_at(block + F16_BYTES, r) * (float)p[NIBBLES_BYTES + GROUP_ROWS + r]);
    out->has_min = true;
}

static void unit_q6_k(const uint8_t *block, int r, int64_t u, struct unit *out)
{
    const uint8_t *p = block + Q6_K_HEAD + u * Q6_K_UNIT, *sc = p + NIBBLES_BYTES + PAIRS_BYTES;
    for (int c = 0; c < UNIT_COLS; c++)
        out->q[c] = (int8_t)((nibble_at(p, r, c) | pair_at(p + NIBBLES_BYTES, r, c) << 4) - 32);
    out->d = half_at(block, r);
    out->sc[0] = (int8_t)sc[r];
    out->sc[1] = (int8_t)sc[GROUP_ROWS + r];
}

void weight_unit(const struct weight *w, int64_t row, int64_t u, struct unit *out)
{
    int r = (int)(row % GROUP_ROWS);
    int64_t units_per_block = dtype_info(w->dtype)->block / UNIT_COLS;
    const uint8_t *group = w->data + (size_t)(row / GROUP_ROWS) * w->group_bytes;
    const uint8_t *block = group + (size_t)(u / units_per_block) * packed_block_bytes(w->dtype);
    out->m = 0;
    out->has_min = w->dtype == DTYPE_Q4_1;
    out->sc[0] = out->sc[1] = 1;
    switch (w->dtype) {
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
        unit_q4(block, r, w->dtype == DTYPE_Q4_0 ? 8 : 0, out);
        out->d = half_at(block + NIBBLES_BYTES, r);
        if (w->dtype == DTYPE_Q4_1)
            out->m = half_at(block + NIBBLES_BYTES + F16_BYTES, r);
        break;
    case DTYPE_Q5_0: unit_q5_0(block, r, out); break;
    case DTYPE_Q8_0: unit_q8_0(block, r, out); break;
    case DTYPE_Q4_K: unit_q4_k(block, r, u % units_per_block, out); break;
    case DTYPE_Q6_K: unit_q6_k(block, r, u % units_per_block, out); break;
    default: CHECK(!"a quantized type");
    }
}

static void row_quantized(const struct weight *w, int64_t row, float *dst)
{
    struct unit unit;
    for (int64_t u = 0; u < w->cols / UNIT_COLS; u++, dst += UNIT_COLS) {
        weight_unit(w, row, u, &unit);
        for (int c = 0; c < UNIT_COLS; c++) {
            float d = w->dtype == DTYPE_Q6_K ? unit.d * (float)unit.sc[c / 16] : unit.d;
            float value = d * (float)unit.q[c];
            dst[c] = unit.has_min ? value + unit.m : value; /* adding 0 would lose the sign of −0 */
        }
    }
}

void weight_row(const struct weight *w, int64_t row, float *dst)
{
    if (dtype_is_quantized(w->dtype)) {
        row_quantized(w, row, dst);
        return;
    }
    size_t step = packed_block_bytes(w->dtype), bytes = step / GROUP_ROWS;
    const uint8_t *p = w->data + (size_t)(row / GROUP_ROWS) * w->group_bytes + bytes * (size_t)(row % GROUP_ROWS);
    for (int64_t k = 0; k < w->cols; k++, p += step)
        dequantize_row(w->dtype, p, dst + k, 1);
}
