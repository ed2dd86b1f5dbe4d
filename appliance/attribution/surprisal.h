/* What a token is worth: its surprisal in millibits, from a table that no contributor can move (docs/attribution.md §2,
 * docs/decisions/0007). It is made from the tokenizer alone, with integers alone, so that everybody makes the same
 * file; its SHA-256 stands in the policy.
 *
 * Plain data, read-only after load: share freely between threads. */
#ifndef OPENLORA_ATTRIBUTION_SURPRISAL_H
#define OPENLORA_ATTRIBUTION_SURPRISAL_H

#include "base/err.h"
#include "base/sha256.h"
#include "model/tokenizer.h"

#include <stdint.h>

struct surprisal {
    uint32_t vocab;
    uint16_t *millibits; /* owned, (vocab) */
};

int surprisal_make(const struct tokenizer *, struct surprisal *out, struct err *) __attribute__((warn_unused_result));
void surprisal_deinit(struct surprisal *);

/* Replaces the file in one step. hash: of the file, may be NULL. */
int surprisal_save(const struct surprisal *, const char *path, char hash[SHA256_HEX_BYTES], struct err *)
    __attribute__((warn_unused_result));
/* expected: the file's SHA-256 in hex, checked; NULL: not checked. */
int surprisal_load(const char *path, const char *expected, struct surprisal *out, struct err *)
    __attribute__((warn_unused_result));

/* 0 for ids outside the table. */
static inline uint32_t surprisal_of(const struct surprisal *s, int32_t id)
{
    return id >= 0 && (uint32_t)id < s->vocab ? s->millibits[id] : 0;
}

/* floor(2^16 · log2(x)) for x ≥ 1, with integers alone. */
uint32_t surprisal_log2_q16(uint64_t x);

#endif
