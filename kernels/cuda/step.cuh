/* The step as kernels see it: where it lies and where its arrays begin.
 *
 * The layout depends on the limits alone, so the host computes it once and hands it over as an argument. Counts and
 * entries are read from device memory, field by field. */
#ifndef OPENLORA_KERNELS_CUDA_STEP_CUH
#define OPENLORA_KERNELS_CUDA_STEP_CUH

#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/gpu.h"

struct step_view {
    const unsigned char *base;
    struct step_layout at;
};

static inline struct step_view step_view_of(dptr step, const struct gpu_bucket *bucket)
{
    return {GPU_POINTER(const unsigned char, step), bucket->layout};
}

DEVICE const struct step *step_head(const struct step_view &v) { return (const struct step *)v.base; }
DEVICE int32_t step_rows(const struct step_view &v) { return ldg(&step_head(v)->n_rows); }
DEVICE int32_t step_logits(const struct step_view &v) { return ldg(&step_head(v)->n_logits); }
DEVICE int32_t step_row_count(const struct step_view &v, enum op_rows rows)
{
    return rows == ROWS_ALL ? step_rows(v) : step_logits(v);
}

#define STEP_ARRAY(field, type) \
    DEVICE const type *view_##field(const struct step_view &v) { return (const type *)(v.base + v.at.field); }
STEP_ARRAY(token, int32_t)
STEP_ARRAY(pos, int32_t)
STEP_ARRAY(row_seq, int32_t)
STEP_ARRAY(seqs, struct step_seq)
STEP_ARRAY(segments, struct step_segment)
STEP_ARRAY(copies, struct step_copy)
STEP_ARRAY(logit_row, int32_t)
STEP_ARRAY(samples, struct step_sample)
STEP_ARRAY(history, struct step_history)
STEP_ARRAY(bias, struct step_bias)
STEP_ARRAY(pages, int32_t)
#undef STEP_ARRAY

#endif
