/* How attention is cut into tiles; a pure function of the step, the same for every number of threads.
 *
 * A job is some query heads of one kv head, for some rows of one sequence: at most ATTENTION_JOB_VECTORS query
 * vectors, which share every conversion of K and V from F16.
 *  - A sequence with one row and more than one split of context (a long decode) is cut along its context too: one
 *    job per split leaves a partial result in the workspace, and attention_fold joins them.
 *  - Any other job walks its splits itself, folds as it goes and writes its part of `out`.
 * Both do the same arithmetic in the same order, so which one is taken never shows in a result. */
#ifndef OPENLORA_KERNELS_CPU_ATTENTION_JOBS_H
#define OPENLORA_KERNELS_CPU_ATTENTION_JOBS_H

#include "kernels/cpu/cpu.h"

enum { ATTENTION_JOB_VECTORS = 24 };

struct attention_job {
    const int32_t *pages;  /* KV pages of the sequence */
    int row0, n_rows;      /* rows of the step */
    int pos0;              /* position of row0 */
    int kv_head;
    int head0, n_heads;    /* query heads, n_rows · n_heads ≤ ATTENTION_JOB_VECTORS */
    int split0, n_splits;
    float *partial;        /* of head0, or NULL; those of following heads lie attention_partial_floats apart */
};

/* A partial: o (pad_cols(head_dim)), then m, l. */
static inline size_t attention_partial_floats(const struct kv_shape *kv) { return (size_t)pad_cols(kv->head_dim) + 16; }

static inline int attention_splits(int context) { return (context + ATTENTION_SPLIT - 1) / ATTENTION_SPLIT; }

/* Is this sequence cut along its context? */
static inline bool attention_is_split(const struct step_seq *seq)
{
    return seq->n_rows == 1 && attention_splits(seq->pos0 + 1) > 1;
}

/* Partials of the n_heads heads for one split of a split sequence; split_index counts the splits of all split
 * sequences of the step, in order. */
static inline float *attention_partials(const struct op_attention *o, size_t split_index)
{
    return (float *)host(o->workspace) + split_index * (size_t)o->kv.n_heads * attention_partial_floats(&o->kv);
}

int attention_job_count(const struct op_attention *o);
struct attention_job attention_job_at(const struct op_attention *o, int index);

#endif
