#include "billing/catalog.h"

#include "billing/json_values.h"
#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

const char *tier_name(int tier)
{
    static const char *const names[] = {"default", "flex", "priority"};
    return tier >= 0 && tier < 3 ? names[tier] : "unknown";
}

static int read_deployment(const json_t *j, struct catalog *c, struct err *e)
{
    const json_t *chain = json_object_get(j, "chain_id"), *contracts = json_object_get(j, "contracts");
    if (!json_is_integer(chain) || json_integer_value(chain) < 0 ||
        !hex_from_json(json_object_get(j, "node"), c->node, ADDRESS_BYTES) ||
        !hex_from_json(json_object_get(contracts, "settlement"), c->settlement, ADDRESS_BYTES) ||
        !hex_from_json(json_object_get(contracts, "escrow"), c->escrow, ADDRESS_BYTES))
        return err_set(e, OL_EFORMAT, "billing", "chainlited's catalog lacks node, chain id or contracts; start "
                       "it with a chain file (--chain)");
    c->chain_id = (uint64_t)json_integer_value(chain);
    domains_make(c->chain_id, c->settlement, c->escrow, &c->domains);
    return 0;
}

/* The rows are those of the catalog file, and are read as strictly. */
static int read_rows(const json_t *j, struct catalog *c, struct err *e)
{
    static const char *const names[] = {"versions", "prices", "splits", "split"};
    json_t *file = json_pack("{si}", "version", CATALOG_VERSION);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set(file, names[i], json_object_get(j, names[i]));
    char *text = file ? json_dumps(file, JSON_COMPACT) : NULL;
    json_decref(file);
    int rc = text ? chain_catalog_parse(text, strlen(text), &c->rows, e)
                  : err_set(e, OL_ENOMEM, "billing", "no memory for the catalog");
    free(text);
    if (rc != 0)
        chain_catalog_init(&c->rows);
    return rc;
}

int catalog_parse(const json_t *j, struct catalog **out, struct err *e)
{
    struct catalog *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return err_set(e, OL_ENOMEM, "billing", "no memory for the catalog");
    atomic_init(&c->references, 1);
    chain_catalog_init(&c->rows);
    int rc = read_deployment(j, c, e);
    if (rc == 0)
        rc = read_rows(j, c, e);
    if (rc != 0) {
        catalog_release(c);
        return rc;
    }
    *out = c;
    return 0;
}

struct catalog *catalog_ref(struct catalog *c)
{
    if (c)
        atomic_fetch_add(&c->references, 1);
    return c;
}

void catalog_release(struct catalog *c)
{
    if (!c || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    chain_catalog_deinit(&c->rows);
    free(c);
}

const struct catalogued_version *catalog_find(const struct catalog *c, const char *content, const uint8_t *base)
{
    static const uint8_t none[32];
    uint8_t hash[32];
    if (strlen(content) != 64 || !hex_decode(content, hash, sizeof hash))
        return NULL;
    return chain_catalog_by_content(&c->rows, hash, base ? base : none);
}

const struct catalogued_price *catalog_price_now(const struct catalog *c, const uint8_t version[32], enum tier tier,
                                                 uint64_t now_s)
{
    return chain_catalog_price_at(&c->rows, c->node, version, tier, now_s);
}
