/* Weights of any file type as float32. */
#ifndef OPENLORA_KERNELS_DEQUANT_H
#define OPENLORA_KERNELS_DEQUANT_H

#include "kernels/dtype.h"

/* float32 of n stored weights (whole blocks), as gguf-py computes them, bit for bit (two roundings, no fma). */
void dequantize_row(enum dtype dtype, const void *src, float *dst, int64_t n);

#endif
