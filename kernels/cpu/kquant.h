/* The two super-block formats of ggml, 256 columns each: byte offsets, and Q4_K's 6-bit scales. */
#ifndef OPENLORA_KERNELS_CPU_KQUANT_H
#define OPENLORA_KERNELS_CPU_KQUANT_H

#include <stdint.h>

enum {
    /* Q4_K: d f16, dmin f16, 12 bytes of scales, 4 runs of 32 bytes: low halves are the even sub-block */
    Q4_K_SCALES = 4, Q4_K_QS = 16,
    /* Q6_K: low halves (2 runs of 64), high pairs (2 runs of 32), int8 scale of every 16 columns, d f16 */
    Q6_K_QL = 0, Q6_K_QH = 128, Q6_K_SC = 192, Q6_K_D = 208,
};

/* Scales and minima of the 8 sub-blocks: the first four in the low 6 bits of bytes 0–3 and 4–7, the others with
 * their low halves in bytes 8–11 and their high pairs on top of the first eight. */
static inline void q4_k_scales(const uint8_t *s, uint8_t sc[8], uint8_t m[8])
{
    for (int i = 0; i < 4; i++) {
        sc[i] = s[i] & 63;
        m[i] = s[4 + i] & 63;
        sc[4 + i] = (uint8_t)((s[8 + i] & 15) | (s[i] >> 6) << 4);
        m[4 + i] = (uint8_t)(s[8 + i] >> 4 | (s[4 + i] >> 6) << 4);
    }
}

#endif
