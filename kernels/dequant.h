/* Weights of any file type as float32, and float32 as halves for files that we write. */
#ifndef OPENLORA_KERNELS_DEQUANT_H
#define OPENLORA_KERNELS_DEQUANT_H

#include "kernels/dtype.h"

#include <stdbool.h>

/* float32 of n stored weights (whole blocks), as gguf-py computes them, bit for bit (two roundings, no fma). */
void dequantize_row(enum dtype dtype, const void *src, float *dst, int64_t n);

/* To nearest, ties to even. False: a value is not finite or is beyond the halves (65,504); dst is of no use then. */
bool half_row(const float *src, uint16_t *dst, int64_t n);

#endif
