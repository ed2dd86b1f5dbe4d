#include "billing/catalog.h"

#include "billing/row_json.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 100000 };

const char *tier_name(int tier)
{
    static const char *const names[] = {"default", "flex", "priority"};
    return tier >= 0 && tier < 3 ? names[tier] : "unknown";
}

/* Room for the rows of a list; *n of them. */
static int rows_open(const json_t *list, const char *name, size_t row_bytes, void **rows, size_t *n, struct err *e)
{
    *n = json_array_size(list);
    if (!json_is_array(list) || *n > MAX_ROWS)
        return err_set(e, OL_EFORMAT, "billing", "chainlited's catalog has no valid '%s'", name);
    *rows = calloc(*n + 1, row_bytes);
    return *rows ? 0 : err_set(e, OL_ENOMEM, "billing", "no memory for the catalog");
}

static int read_versions(const json_t *list, struct catalog *c, struct err *e)
{
    int rc = rows_open(list, "versions", sizeof *c->versions, (void **)&c->versions, &c->n_versions, e);
    for (size_t i = 0; i < c->n_versions && rc == 0; i++) {
        const json_t *row = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(row, "name"));
        rc = row_from_json(&version_schema, row, &c->versions[i].row, e);
        version_id(&c->versions[i].row, c->versions[i].id);
        snprintf(c->versions[i].name, sizeof c->versions[i].name, "%s", name ? name : "");
    }
    return rc;
}

static int read_prices(const json_t *list, struct catalog *c, struct err *e)
{
    int rc = rows_open(list, "prices", sizeof *c->prices, (void **)&c->prices, &c->n_prices, e);
    for (size_t i = 0; i < c->n_prices && rc == 0; i++) {
        rc = row_from_json(&price_schema, json_array_get(list, i), &c->prices[i].row, e);
        price_id(&c->prices[i].row, c->prices[i].id);
    }
    return rc;
}

static int read_splits(const json_t *list, struct catalog *c, struct err *e)
{
    int rc = rows_open(list, "splits", sizeof *c->splits, (void **)&c->splits, &c->n_splits, e);
    for (size_t i = 0; i < c->n_splits && rc == 0; i++) {
        rc = row_from_json(&split_schema, json_array_get(list, i), &c->splits[i].row, e);
        split_id(&c->splits[i].row, c->splits[i].id);
    }
    return rc;
}

static int read_deployment(const json_t *j, struct catalog *c, struct err *e)
{
    const json_t *chain = json_object_get(j, "chain_id"), *contracts = json_object_get(j, "contracts");
    if (!json_is_integer(chain) || json_integer_value(chain) < 0 ||
        !hex_from_json(json_object_get(j, "node"), c->node, ADDRESS_BYTES) ||
        !hex_from_json(json_object_get(contracts, "settlement"), c->settlement, ADDRESS_BYTES) ||
        !hex_from_json(json_object_get(contracts, "escrow"), c->escrow, ADDRESS_BYTES))
        return err_set(e, OL_EFORMAT, "billing", "chainlited's catalog lacks node, chain id or contracts");
    c->chain_id = (uint64_t)json_integer_value(chain);
    domains_make(c->chain_id, c->settlement, c->escrow, &c->domains);
    return 0;
}

int catalog_parse(const json_t *j, struct catalog **out, struct err *e)
{
    struct catalog *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return err_set(e, OL_ENOMEM, "billing", "no memory for the catalog");
    atomic_init(&c->references, 1);
    int rc = read_deployment(j, c, e);
    if (rc == 0)
        rc = read_versions(json_object_get(j, "versions"), c, e);
    if (rc == 0)
        rc = read_prices(json_object_get(j, "prices"), c, e);
    if (rc == 0)
        rc = read_splits(json_object_get(j, "splits"), c, e);
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
    free(c->versions);
    free(c->prices);
    free(c->splits);
    free(c);
}

const struct catalog_version *catalog_find(const struct catalog *c, const char *content, const uint8_t *base)
{
    static const uint8_t none[32];
    const struct catalog_version *best = NULL;
    uint8_t hash[32];
    if (strlen(content) != 64 || !hex_decode(content, hash, sizeof hash))
        return NULL;
    for (size_t i = 0; i < c->n_versions; i++) {
        const struct catalog_version *v = &c->versions[i];
        if (memcmp(v->row.content_hash, hash, 32) == 0 && memcmp(v->row.base_version, base ? base : none, 32) == 0 &&
            (!best || v->row.number > best->row.number))
            best = v;
    }
    return best;
}

const struct catalog_version *catalog_version(const struct catalog *c, const uint8_t id[32])
{
    for (size_t i = 0; i < c->n_versions; i++)
        if (memcmp(c->versions[i].id, id, 32) == 0)
            return &c->versions[i];
    return NULL;
}

const struct catalog_price *catalog_price_now(const struct catalog *c, const uint8_t version[32], enum tier tier,
                                              uint64_t now_s)
{
    const struct catalog_price *best = NULL;
    for (size_t i = 0; i < c->n_prices; i++) {
        const struct catalog_price *p = &c->prices[i];
        if (p->row.tier == tier && p->row.effective_time <= now_s && memcmp(p->row.version, version, 32) == 0 &&
            memcmp(p->row.node, c->node, ADDRESS_BYTES) == 0 &&
            (!best || p->row.effective_time >= best->row.effective_time))
            best = p;
    }
    return best;
}

const struct catalog_price *catalog_price(const struct catalog *c, const uint8_t id[32])
{
    for (size_t i = 0; i < c->n_prices; i++)
        if (memcmp(c->prices[i].id, id, 32) == 0)
            return &c->prices[i];
    return NULL;
}

const struct catalog_split *catalog_split(const struct catalog *c, const uint8_t id[32])
{
    for (size_t i = 0; i < c->n_splits; i++)
        if (memcmp(c->splits[i].id, id, 32) == 0)
            return &c->splits[i];
    return NULL;
}
