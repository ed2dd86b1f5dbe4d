/* The rows that bills refer to, as chainlited serves them (GET /v1/catalog), with the deployment they belong to.
 * A catalog is immutable and reference-counted; a newer one replaces it as a whole. */
#ifndef OPENLORA_BILLING_CATALOG_H
#define OPENLORA_BILLING_CATALOG_H

#include "base/err.h"
#include "chainlite/core/proof.h"
#include "chainlite/json/catalog.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

struct catalog {
    atomic_int references;
    struct served_catalog served;
    const uint8_t *settlement, *escrow; /* of served.contracts */
    struct domains domains;
};

/* chainlited's answer; read as strictly as its file. */
int catalog_parse(const json_t *, struct catalog **out, struct err *) __attribute__((warn_unused_result));
struct catalog *catalog_ref(struct catalog *);
void catalog_release(struct catalog *); /* NULL is fine */

/* The version of a model, or of an adapter on this base; NULL: none is registered. content: 64 hex digits, as the engine
 * names both. base NULL: a model. */
const struct catalogued_version *catalog_find(const struct catalog *, const char *content, const uint8_t *base);
/* The node's own price in force. */
const struct catalogued_price *catalog_price_now(const struct catalog *, const uint8_t version[32], enum tier,
                                                 uint64_t now_s);

const char *tier_name(int tier); /* "default", "flex", "priority" */

#endif
