/* What is wrong with an operation's arguments, as far as can be told before its step is there; NULL when nothing is.
 * Every backend asks here when an operation is enqueued, so all refuse the same things in the same words. */
#ifndef OPENLORA_KERNELS_CHECK_H
#define OPENLORA_KERNELS_CHECK_H

#include "kernels/ops.h"

struct weight_shape { /* of a packed weight, whose layout only its backend knows */
    enum dtype dtype;
    int64_t rows, cols;
};

const char *check_copy(dptr dst, dptr src, size_t bytes);
const char *check_copy_pages(const struct op_copy_pages *op);
const char *check_embed(const struct op_embed *op, const struct weight_shape *w); /* w: NULL when op->w is */
const char *check_rope_table(const struct op_rope_table *op);
const char *check_add_norm(const struct op_add_norm *op);
const char *check_matmul(const struct op_matmul *op, const struct weight_shape *w);
const char *check_lora(const struct op_lora *op);
const char *check_rope_kv(const struct op_rope_kv *op);
const char *check_attention(const struct op_attention *op);
const char *check_silu_mul(const struct op_silu_mul *op);
const char *check_sample(const struct op_sample *op);

/* A tensor of a file against the first one it is stacked with: 0, or OL_EFORMAT in the backend's name. */
int check_weight_part(const struct weight_part *p, const struct weight_part *first, const char *module, struct err *e);

#endif
