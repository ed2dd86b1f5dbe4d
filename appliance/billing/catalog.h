/* The rows that bills refer to, as chainlited's catalog has them: versions, prices, splits, chain and contracts.
 * A catalog is immutable and reference-counted; a newer one replaces it as a whole. */
#ifndef OPENLORA_BILLING_CATALOG_H
#define OPENLORA_BILLING_CATALOG_H

#include "base/err.h"
#include "chainlite/core/rows.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct catalog_version {
    uint8_t id[32];
    char name[129];
    struct row_version row;
};

struct catalog_price {
    uint8_t id[32];
    struct row_price row;
};

struct catalog_split {
    uint8_t id[32];
    struct row_split row;
};

struct catalog {
    atomic_int references;
    uint64_t chain_id;
    uint8_t node[ADDRESS_BYTES], settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES];
    struct domains domains;
    struct catalog_version *versions; /* owned, as are the others */
    struct catalog_price *prices;
    struct catalog_split *splits;
    size_t n_versions, n_prices, n_splits;
};

/* From the body of GET /v1/catalog. Ids are computed, not believed. */
int catalog_parse(const json_t *, struct catalog **out, struct err *) __attribute__((warn_unused_result));
struct catalog *catalog_ref(struct catalog *);
void catalog_release(struct catalog *); /* NULL is fine */

/* NULL when there is none. content: 64 hex digits, as the engine names models and adapters. base: the version that an
 * adapter must stand on; NULL looks for a model. Of several the highest number. */
const struct catalog_version *catalog_find(const struct catalog *, const char *content, const uint8_t *base);
const struct catalog_version *catalog_version(const struct catalog *, const uint8_t id[32]);
/* The price in force: the node's own, of this version and tier, with the latest effective time that has come. */
const struct catalog_price *catalog_price_now(const struct catalog *, const uint8_t version[32], enum tier,
                                              uint64_t now_s);
const struct catalog_price *catalog_price(const struct catalog *, const uint8_t id[32]);
const struct catalog_split *catalog_split(const struct catalog *, const uint8_t id[32]);

const char *tier_name(int tier); /* "default", "flex", "priority" */

#endif
