/* A catalog by reference: bills that are open go on with the rows they were quoted by while a newer one serves others. */
#include "billing/catalog.h"

#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

const char *tier_name(int tier)
{
    static const char *const names[] = {"default", "flex", "priority"};
    return tier >= 0 && tier < 3 ? names[tier] : "unknown";
}

static int find_contracts(struct catalog *c, struct err *e)
{
    c->settlement = chain_contract(&c->served.contracts, "Settlement");
    c->escrow = chain_contract(&c->served.contracts, "Escrow");
    if (!c->settlement || !c->escrow)
        return err_set(e, OL_EFORMAT, "billing", "chainlited's catalog names no Settlement or Escrow; start it with the "
                       "file of a chain that has them (--chain)");
    domains_make(c->served.chain_id, c->settlement, c->escrow, &c->domains);
    return 0;
}

int catalog_parse(const json_t *j, struct catalog **out, struct err *e)
{
    struct catalog *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return err_set(e, OL_ENOMEM, "billing", "no memory for the catalog");
    atomic_init(&c->references, 1);
    int rc = served_catalog_read(j, &c->served, e);
    if (rc != 0)
        err_prefix(e, "chainlited's catalog");
    else
        rc = find_contracts(c, e);
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
    schema_free(&served_catalog_schema, &c->served);
    free(c);
}

const struct catalogued_version *catalog_find(const struct catalog *c, const char *content, const uint8_t *base)
{
    static const uint8_t none[32];
    uint8_t hash[32];
    if (strlen(content) != 64 || !hex_decode(content, hash, sizeof hash))
        return NULL;
    return chain_catalog_by_content(&c->served.rows, hash, base ? base : none);
}

const struct catalogued_price *catalog_price_now(const struct catalog *c, const uint8_t version[32], enum tier tier,
                                                 uint64_t now_s)
{
    return chain_catalog_price_at(&c->served.rows, c->served.node, version, tier, now_s);
}
