/* Rows as stored in files to float32, with the roundings of gguf-py: every product and sum on its own, no fma.
 * Block layouts: ggml's ggml-common.h. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/f16.h"
#include "kernels/cpu/kquant.h"
#include "kernels/cpu/math.h"

static void row_f16(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = f16_load(src + 2 * i);
}

static void row_bf16(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, 2);
        dst[i] = bf16_to_f32(h);
    }
}

static void block_q4_0(const uint8_t *b, float *dst) /* d, 16 bytes: low halves are columns 0–15 */
{
    float d = f16_load(b);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)((b[2 + i] & 15) - 8);
        dst[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

static void block_q4_1(const uint8_t *b, float *dst) /* d, m, 16 bytes */
{
    float d = f16_load(b), m = f16_load(b + 2);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)(b[4 + i] & 15) + m;
        dst[16 + i] = d * (float)(b[4 + i] >> 4) + m;
    }
}

static void block_q5_0(const uint8_t *b, float *dst) /* d, 32 fifth bits, 16 bytes */
{
    float d = f16_load(b);
    uint32_t high;
    memcpy(&high, b + 2, 4);
    for (int i = 0; i < 16; i++) {
        int lo = (b[6 + i] & 15) | (int)(high >> i & 1) << 4;
        int hi = b[6 + i] >> 4 | (int)(high >> (16 + i) & 1) << 4;
        dst[i] = d * (float)(lo - 16);
        dst[16 + i] = d * (float)(hi - 16);
    }
}

static void block_q8_0(const uint8_t *b, float *dst) /* d, 32 int8 */
{
    float d = f16_load(b);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (float)(int8_t)b[2 + i];
}

static void block_q4_k(const uint8_t *b, float *dst)
{
    float d = f16_load(b), dmin = f16_load(b + 2);
    uint8_t sc[8], m[8];
    q4_k_scales(b + Q4_K_SCALES, sc, m);
    for (int s = 0; s < 8; s++) {
        float ds = d * (float)sc[s], dm = dmin * (float)m[s];
        const uint8_t *q = b + Q4_K_QS + 32 * (s / 2);
        for (int i = 0; i < 32; i++)
            dst[32 * s + i] = ds * (float)(q[i] >> 4 * (s & 1) & 15) - dm;
    }
}

static void block_q6_k(const uint8_t *b, float *dst)
{
    float d = f16_load(b + Q6_K_D);
    for (int i = 0; i < 256; i++) {
        int s = i % 128 / 32, col = i % 32; /* four runs of 32 share 64 low bytes and 32 high bytes */
        int low = b[Q6_K_QL + 64 * (i / 128) + 32 * (s & 1) + col] >> 4 * (s >> 1) & 15;
        int high = b[Q6_K_QH + 32 * (i / 128) + col] >> 2 * s & 3;
        dst[i] = d * (float)(int8_t)b[Q6_K_SC + i / 16] * (float)((low | high << 4) - 32);
    }
}

void dequantize_row(enum dtype dtype, const void *src, float *dst, int64_t n)
{
    static void (*const block[DTYPE_COUNT])(const uint8_t *, float *) = {
        [DTYPE_Q4_0] = block_q4_0, [DTYPE_Q4_1] = block_q4_1, [DTYPE_Q5_0] = block_q5_0,
        [DTYPE_Q8_0] = block_q8_0, [DTYPE_Q4_K] = block_q4_k, [DTYPE_Q6_K] = block_q6_k,
    };
    if (dtype == DTYPE_F32) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
    } else if (dtype == DTYPE_F16) {
        row_f16(src, dst, n);
    } else if (dtype == DTYPE_BF16) {
        row_bf16(src, dst, n);
    } else {
        const struct dtype_info *t = dtype_info(dtype);
        const uint8_t *b = src;
        for (int64_t i = 0; i < n; i += t->block, b += t->bytes)
            block[dtype](b, dst + i);
    }
}

bool half_row(const float *src, uint16_t *dst, int64_t n)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        dst[i] = f32_to_f16(src[i]);
        finite = finite && (dst[i] & 0x7c00) != 0x7c00;
    }
    return finite;
}
