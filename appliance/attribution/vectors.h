/* Contributor vectors û of a policy (docs/attribution.md §3) and the file that holds them, vectors.bin:
 *
 *   bytes  content, little-endian
 *   8      "OLVECTR1"
 *   4      K: numbers of a vector, 1 … SKETCH_MAX_DIMENSIONS
 *   4      L: blocks, 1 … SKETCH_MAX_BLOCKS
 *   8      seed of the sketch
 *   4      e: û stands for û·2^−e, −126 … 126
 *   4      n: contributors, 1 … VECTORS_MAX
 *   8      the norm to which rows' gradients were clipped, float64, finite, > 0
 *   4·L    dimensions of each block, each ≥ 1, K in all
 *   24·n   of each contributor: index of the policy's Datanet (4), address (20); strictly ascending, no zero address
 *   2·n·K  û, int16, none −32,768
 *
 * and nothing behind it: two files never mean the same vectors. The file comes from others: everything is checked on
 * opening. Read-only afterwards, so any number of threads may use it. */
#ifndef OPENLORA_ATTRIBUTION_VECTORS_H
#define OPENLORA_ATTRIBUTION_VECTORS_H

#include "attribution/sketch.h"
#include "base/err.h"
#include "base/file_map.h"
#include "chainlite/core/keccak.h"

#include <stdint.h>

enum {
    VECTORS_MAX = 1024, /* as many as may share an answer */
    VECTOR_LIMIT = INT16_MAX,
    VECTOR_MAX_EXPONENT = 126,
    QUERY_EXPONENT = 15,
};

struct vectors_owner {
    uint32_t datanet; /* index into the policy's list */
    uint8_t address[ADDRESS_BYTES];
};

struct vectors {
    struct sketch sketch;
    int32_t exponent;
    double clip_norm;
    uint32_t n;
    const struct vectors_owner *owners; /* (n), borrowed from the file */
    const int16_t *values;              /* (n, sketch.dimensions), borrowed from the file */
    uint64_t *squares;                  /* (n) ‖û‖², owned */
    struct file_map file;               /* owned; empty after vectors_parse */
};

int vectors_open(const char *path, struct vectors *out, struct err *) __attribute__((warn_unused_result));
/* Borrows the bytes, which must lie at a multiple of four. OL_EFORMAT, OL_ENOMEM; then *out owns nothing. */
int vectors_parse(const void *bytes, size_t n, struct vectors *out, struct err *) __attribute__((warn_unused_result));
void vectors_close(struct vectors *); /* also after a failed open; zeroes */

/* All of n·K numbers by one power of two, the largest that keeps the greatest within VECTOR_LIMIT: *exponent; rounded
 * to nearest, ties to even. All zero: exponent 0. OL_EINVAL: not finite, or too large or small for the exponent's
 * range. */
int vectors_quantize(const double *u, size_t n, int16_t *out, int32_t *exponent, struct err *)
    __attribute__((warn_unused_result));

/* v̂ of an answer's sketched gradient: divided by its norm, times 2^QUERY_EXPONENT, ±VECTOR_LIMIT at most. OL_EINVAL:
 * zero or not finite. */
int query_quantize(const double *v, size_t n, int16_t *out, struct err *) __attribute__((warn_unused_result));
/* queryHash: keccak256 of v̂ as little-endian int16. */
void query_hash(const int16_t *query, size_t n, uint8_t out[HASH_BYTES]);

/* Writes the file in one step; owners and values as in struct vectors. OL_EINVAL: owners that a file must not have. */
int vectors_write(const char *path, const struct sketch *, int32_t exponent, double clip_norm,
                  const struct vectors_owner *owners, const int16_t *values, uint32_t n, struct err *)
    __attribute__((warn_unused_result));

int vectors_owner_order(const struct vectors_owner *a, const struct vectors_owner *b); /* <0, 0, >0 */

#endif
