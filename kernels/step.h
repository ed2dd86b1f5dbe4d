/* struct step: one ragged batch, flat and pointer-free.
 *
 * A step is one block of memory: a fixed header, then arrays of fixed capacity at offsets that depend only on
 * `struct step_limits`. It can be copied to a device, sent to another process, or written down and replayed.
 *
 * Rows are tokens to compute. Rows of one sequence are contiguous with ascending positions; rows of one adapter
 * are contiguous too (a segment), rows without an adapter belong to no segment. A page list (KV of a sequence,
 * image of an adapter) is a range of the flat `pages` array. */
#ifndef OPENLORA_KERNELS_STEP_H
#define OPENLORA_KERNELS_STEP_H

#include "kernels/host_device.h"

#include <stddef.h>
#include <stdint.h>

enum { STEP_TOP_LOGPROBS = 20, STEP_PAGE_TOKENS = 16 };

struct step_limits {
    int32_t max_rows;    /* tokens per step */
    int32_t max_seqs;    /* sequences (and segments, and rows that want logits, unless max_logits says more) */
    int32_t max_logits;  /* rows that want logits */
    int32_t max_pages;   /* entries of the flat page lists */
    int32_t max_history; /* entries of the flat penalty lists */
    int32_t max_bias;    /* entries of the flat logit-bias lists */
};

struct step_seq {
    int32_t row0, n_rows;
    int32_t pos0;           /* position of row0; row i has position pos0 + i */
    int32_t page0, n_pages; /* KV pages in order; they cover positions 0 .. pos0 + n_rows − 1 */
};

struct step_segment {
    int32_t row0, n_rows;
    int32_t page0, n_pages; /* the adapter's image (see lora_image.h) */
};

struct step_copy { /* done before anything else in the step: copy-on-write of a KV page */
    int32_t src_page, dst_page;
};

/* How to choose a token from one row of logits. Order: penalties, bias, temperature, top-k, top-p, min-p. */
struct step_sample {
    float temperature;                           /* 0 = the most likely token, lowest id on a tie */
    float top_p, min_p;                          /* 1 and 0 = off */
    int32_t top_k;                               /* 0 = off */
    float repetition;                            /* 1 = off; over prompt and output (CTRL, arXiv 1909.05858) */
    float frequency, presence;                   /* 0 = off; over output only (OpenAI) */
    uint32_t seed_lo, seed_hi, choice, position; /* Philox key and counter */
    int32_t history0, n_history;                 /* range of `history` */
    int32_t bias0, n_bias;                       /* range of `bias` */
    int32_t n_top;                               /* alternatives wanted, 0 .. STEP_TOP_LOGPROBS */
};

struct step_history { /* a token stands in a row's list once at most; so in its list of bias */
    int32_t token, output_count; /* output_count 0: only in the prompt */
};

struct step_bias {
    int32_t token;
    float add;
};

struct step_result { /* what the device answers for one row that wanted logits */
    int32_t token;
    float logprob; /* of `token` under the model itself: before penalties, bias, temperature */
    int32_t n_top;
    int32_t top_token[STEP_TOP_LOGPROBS]; /* descending probability under the model itself */
    float top_logprob[STEP_TOP_LOGPROBS];
};

struct step {
    struct step_limits limits;
    int32_t n_rows, n_seqs, n_segments, n_copies, n_logits, n_pages, n_history, n_bias;
    /* arrays follow: see the accessors */
};

/* Byte offsets of the arrays inside the block; the last is its size. */
struct step_layout {
    size_t token, pos, row_seq, seqs, segments, copies, logit_row, samples, history, bias, pages, bytes;
};

HOST_DEVICE struct step_layout step_layout(const struct step_limits *l)
{
    struct step_layout o;
    size_t at = (sizeof(struct step) + 63) & ~(size_t)63;
#define STEP_PLACE(field, count, type) \
    o.field = at;                      \
    at = (at + (size_t)(count) * sizeof(type) + 63) & ~(size_t)63
    STEP_PLACE(token, l->max_rows, int32_t);
    STEP_PLACE(pos, l->max_rows, int32_t);
    STEP_PLACE(row_seq, l->max_rows, int32_t);
    STEP_PLACE(seqs, l->max_seqs, struct step_seq);
    STEP_PLACE(segments, l->max_seqs, struct step_segment);
    STEP_PLACE(copies, l->max_seqs, struct step_copy);
    STEP_PLACE(logit_row, l->max_logits, int32_t);
    STEP_PLACE(samples, l->max_logits, struct step_sample);
    STEP_PLACE(history, l->max_history, struct step_history);
    STEP_PLACE(bias, l->max_bias, struct step_bias);
    STEP_PLACE(pages, l->max_pages, int32_t);
#undef STEP_PLACE
    o.bytes = at;
    return o;
}

#define STEP_ACCESSOR(field, type)                                             \
    static inline type *step_##field(const struct step *s)                     \
    {                                                                          \
        return (type *)((char *)(uintptr_t)s + step_layout(&s->limits).field); \
    }
STEP_ACCESSOR(token, int32_t)     /* (max_rows) vocabulary ids */
STEP_ACCESSOR(pos, int32_t)       /* (max_rows) position in the sequence */
STEP_ACCESSOR(row_seq, int32_t)   /* (max_rows) index into seqs */
STEP_ACCESSOR(seqs, struct step_seq)
STEP_ACCESSOR(segments, struct step_segment)
STEP_ACCESSOR(copies, struct step_copy)
STEP_ACCESSOR(logit_row, int32_t) /* (max_logits) ascending rows that want logits */
STEP_ACCESSOR(samples, struct step_sample) /* parallel to logit_row */
STEP_ACCESSOR(history, struct step_history)
STEP_ACCESSOR(bias, struct step_bias)
STEP_ACCESSOR(pages, int32_t)
#undef STEP_ACCESSOR

#endif
