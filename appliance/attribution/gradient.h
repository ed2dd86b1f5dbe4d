/* Gradients as influence sees them: LoRA's gradient of a token sequence, by the canonical pass of training
 * (training/lora_model.h with the adapter's exact bytes), sketched (docs/attribution.md §3). A block of the sketch is a
 * layer of the model that the adapter changes.
 *
 * They are taken half way: with B halved, so that the adapter changes half as much. Where training ended the rows'
 * gradients cancel each other, and what all rows taught together has no gradient left; half way from the base to there
 * it has. The model holds the whole adapter before and after every call. */
#ifndef OPENLORA_ATTRIBUTION_GRADIENT_H
#define OPENLORA_ATTRIBUTION_GRADIENT_H

#include "attribution/vectors.h"
#include "training/lora_model.h"

#include <stdbool.h>

/* Rows whose gradients are held at once: at most so many, and at most so many bytes of them, but one. */
enum { GRADIENT_BATCH = 16, GRADIENT_BATCH_BYTES = 256 << 20 };

/* OL_EINVAL: no places, or more layers than the budget has dimensions. */
int gradient_sketch_init(struct sketch *, uint64_t seed, uint32_t budget, const struct lora_layout *, struct err *)
    __attribute__((warn_unused_result));
/* OL_EFORMAT unless the sketch is one of this layout. */
int gradient_sketch_check(const struct sketch *, const struct lora_layout *, struct err *)
    __attribute__((warn_unused_result));
/* out (dimensions) += the sketch of a gradient (n_params). */
void gradient_sketch(const struct sketch *, const struct lora_layout *, const float *gradient, double *out);

/* ---- rows of training data */

/* One row's tokens: what it teaches has weight 1, and its loss is the sum of −ln p over them, so that cutting a row
 * into two changes nothing. A row longer than the model's max_rows is cut into windows that overlap by one token. */
struct gradient_row {
    const uint32_t *tokens;
    const bool *taught; /* at least one behind the first token */
    size_t n;
};

/* Called after each batch. */
typedef void (*gradient_progress)(void *user, size_t done, size_t total);

/* phi (n, dimensions) of n rows and the norms (n) of their whole gradients, both float64. max_rows as in the model's
 * train_config. progress may be NULL. */
int gradient_rows(struct lora_model *, const struct sketch *, const struct gradient_row *rows, size_t n,
                  int32_t max_rows, double *phi, double *norms, gradient_progress progress, void *user, struct err *)
    __attribute__((warn_unused_result));

/* From them the contributors' vectors u (m, dimensions) before quantization: phi is clipped in place to three times the
 * median norm, and u_c = (F + λI)⁻¹ Σ φ over the rows with owner c < m, block by block. *clip_norm: that bound.
 * OL_EINVAL: no rows, or none with a gradient. */
int gradient_solve(const struct sketch *, double *phi, const double *norms, const uint32_t *owners, size_t n,
                   uint32_t m, double *u, double *clip_norm, struct err *) __attribute__((warn_unused_result));

/* ---- an answer */

struct gradient_choice {
    const uint32_t *prompt, *answer; /* ids as the model read and delivered them */
    size_t n_prompt, n;
    const bool *open; /* (n) tokens of the answer that no span owns and that are no echo */
};

/* The open tokens of one choice. On entry open[i] is false where a span owns the token; on return also where it is an
 * echo of the prompt (span_echo.h). Returns how many are left, or an error. */
int64_t gradient_open(const int32_t *prompt, size_t n_prompt, const int32_t *choice, size_t n, bool *open, struct err *)
    __attribute__((warn_unused_result));

/* v̂ (dimensions): over all choices the gradient of the open tokens' mean −ln p, sketched, normalised, quantized.
 * OL_EINVAL: no open token, or no gradient. OL_ELIMIT: a choice longer than the model's max_rows. */
int gradient_query(struct lora_model *, const struct sketch *, const struct gradient_choice *, size_t n_choices,
                   int16_t *query, struct err *) __attribute__((warn_unused_result));

#endif
