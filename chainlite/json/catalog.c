/* The catalog file; see catalog.h. */
#include "chainlite/json/catalog.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
    [ITEM_NODE] = "node", [ITEM_DATANET] = "datanet", [ITEM_MODEL] = "model", [ITEM_ADAPTER] = "adapter",
    [ITEM_AGENT] = "agent", [ITEM_POLICY] = "policy"};

static const struct field version_fields[] = {
    FIELD(catalogued_version, HASH, "id", id),
    FIELD_BOUNDED(catalogued_version, TEXT, "name", name, ITEM_NAME_BYTES),
    FIELD_ONE_OF(catalogued_version, "kind", kind, kinds),
    FIELD(catalogued_version, ADDRESS, "owner", owner),
    FIELD_MERGED(catalogued_version, row, &version_schema),
};
const struct schema catalogued_version_schema = SCHEMA("version", catalogued_version, version_fields);

static const struct field price_fields[] = {
    FIELD(catalogued_price, HASH, "id", id),
    FIELD_MERGED(catalogued_price, row, &price_schema),
};
const struct schema catalogued_price_schema = SCHEMA("price", catalogued_price, price_fields);

static const struct field split_fields[] = {
    FIELD(catalogued_split, HASH, "id", id),
    FIELD_MERGED(catalogued_split, row, &split_schema),
};
const struct schema catalogued_split_schema = SCHEMA("split", catalogued_split, split_fields);

static const struct field catalog_fields[] = {
    FIELD_BOUNDED(chain_catalog, VERSION, "version", version, CATALOG_VERSION),
    FIELD_MANY(chain_catalog, "versions", versions, &catalogued_version_schema, CATALOG_MAX_ROWS),
    FIELD_MANY(chain_catalog, "prices", prices, &catalogued_price_schema, CATALOG_MAX_ROWS),
    FIELD_MANY(chain_catalog, "splits", splits, &catalogued_split_schema, CATALOG_MAX_ROWS),
    FIELD(chain_catalog, HASH, "split", split),
};
const struct schema chain_catalog_schema = SCHEMA("catalog", chain_catalog, catalog_fields);

static const struct field served_fields[] = {
    FIELD(served_catalog, ADDRESS, "node", node),
    FIELD(served_catalog, U64, "chain_id", chain_id),
    FIELD_MANY(served_catalog, "contracts", contracts, &chain_contract_schema, CHAIN_MAX_CONTRACTS),
    FIELD_MERGED(served_catalog, rows, &chain_catalog_schema),
};
const struct schema served_catalog_schema = SCHEMA("catalog", served_catalog, served_fields);

void chain_catalog_init(struct chain_catalog *c) { *c = (struct chain_catalog){.version = CATALOG_VERSION}; }
void chain_catalog_deinit(struct chain_catalog *c) { schema_free(&chain_catalog_schema, c); }

/* Rows of all kinds begin with their id, so one search serves them. */
_Static_assert(offsetof(struct catalogued_version, id) == 0 && offsetof(struct catalogued_price, id) == 0 &&
                   offsetof(struct catalogued_split, id) == 0,
               "a row begins with its id");

static void *find(const struct list *rows, size_t bytes, const uint8_t id[32])
{
    for (size_t i = 0; i < rows->n; i++) {
        char *row = (char *)rows->at + i * bytes;
        if (memcmp(row, id, 32) == 0)
            return row;
    }
    return NULL;
}

static const struct catalogued_version *version_at(const struct chain_catalog *c, size_t i)
{
    return (const struct catalogued_version *)c->versions.at + i;
}

static const struct catalogued_price *price_row_at(const struct chain_catalog *c, size_t i)
{
    return (const struct catalogued_price *)c->prices.at + i;
}

static bool split_is_whole(const struct row_split *s)
{
    return (uint64_t)s->model_ppb + s->data_ppb + s->validators_ppb + s->node_ppb == PPB;
}

static int check_version(const struct catalogued_version *v, struct err *e)
{
    uint8_t id[32], item[32];
    version_id(&v->row, id);
    item_id((enum item_kind)v->kind, v->owner, v->name, item);
    if (v->name[0] == '\0' || v->row.number == 0 || v->row.base_ppb > PPB)
        return err_set(e, OL_EINVAL, "catalog", "a version without a name or a number, or with a base part above 10^9");
    if (memcmp(item, v->row.item, 32) != 0)
        return err_set(e, OL_EFORMAT, "catalog", "the item is not that of this kind, owner and name");
    return memcmp(id, v->id, 32) ? err_set(e, OL_EFORMAT, "catalog", "the id is not the row's") : 0;
}

static int check_price(const struct catalogued_price *p, struct err *e)
{
    uint8_t id[32];
    price_id(&p->row, id);
    if (p->row.tier > TIER_PRIORITY)
        return err_set(e, OL_EINVAL, "catalog", "tier %u is none of 0, 1 and 2", p->row.tier);
    return memcmp(id, p->id, 32) ? err_set(e, OL_EFORMAT, "catalog", "the id is not the row's") : 0;
}

static int check_split(const struct catalogued_split *s, struct err *e)
{
    uint8_t id[32];
    split_id(&s->row, id);
    if (!split_is_whole(&s->row))
        return err_set(e, OL_EINVAL, "catalog", "the parts do not sum to 10^9");
    return memcmp(id, s->id, 32) ? err_set(e, OL_EFORMAT, "catalog", "the id is not the row's") : 0;
}

static int check_twice(const struct list *rows, size_t bytes, size_t i, struct err *e)
{
    const uint8_t *id = (const uint8_t *)rows->at + i * bytes;
    return find(rows, bytes, id) == id ? 0 : err_set(e, OL_EFORMAT, "catalog", "the id is there twice");
}

static int check(const struct chain_catalog *c, struct err *e)
{
    static const uint8_t none[32];
    for (size_t i = 0; i < c->versions.n; i++)
        if (check_version(version_at(c, i), e) || check_twice(&c->versions, sizeof(struct catalogued_version), i, e))
            return err_prefix(e, "versions: [%zu]", i);
    for (size_t i = 0; i < c->prices.n; i++)
        if (check_price(price_row_at(c, i), e) || check_twice(&c->prices, sizeof(struct catalogued_price), i, e))
            return err_prefix(e, "prices: [%zu]", i);
    for (size_t i = 0; i < c->splits.n; i++)
        if (check_split((const struct catalogued_split *)c->splits.at + i, e) ||
            check_twice(&c->splits, sizeof(struct catalogued_split), i, e))
            return err_prefix(e, "splits: [%zu]", i);
    if (memcmp(c->split, none, 32) != 0 && !chain_catalog_split_in_force(c))
        return err_set(e, OL_EFORMAT, "catalog", "split: is none of the splits");
    return 0;
}

static int checked(int rc, struct chain_catalog *c, struct err *e)
{
    struct err local;
    if (!rc && (rc = check(c, e ? e : &local)))
        chain_catalog_deinit(c);
    return rc;
}

int chain_catalog_load(const char *path, struct chain_catalog *out, struct err *e)
{
    int rc = notation_read_file(&chain_catalog_schema, path, CATALOG_MAX_BYTES, out, e);
    bool read = rc == 0;
    rc = checked(rc, out, e);
    if (rc && read)
        err_prefix(e, "%s", path);
    return rc;
}

int chain_catalog_parse(const char *text, size_t n, struct chain_catalog *out, struct err *e)
{
    return checked(notation_parse(&chain_catalog_schema, text, n, out, e), out, e);
}

int served_catalog_read(const json_t *value, struct served_catalog *out, struct err *e)
{
    int rc = notation_read(&served_catalog_schema, value, out, e);
    if (rc == 0 && (rc = check(&out->rows, e)) != 0)
        schema_free(&served_catalog_schema, out);
    return rc;
}

int chain_catalog_save(const struct chain_catalog *c, const char *path, struct err *e)
{
    return notation_write_file(&chain_catalog_schema, c, path, CATALOG_MAX_BYTES, e);
}

/* A copy of the row behind the others unless its id is there. */
static int append(struct list *rows, const void *row, size_t bytes, struct err *e)
{
    if (find(rows, bytes, row))
        return 0;
    if (rows->n == CATALOG_MAX_ROWS)
        return err_set(e, OL_ELIMIT, "catalog", "%d rows of one kind at most", CATALOG_MAX_ROWS);
    void *at = realloc(rows->at, (rows->n + 1) * bytes);
    if (!at)
        return err_set(e, OL_ENOMEM, "catalog", "no memory for a row");
    rows->at = at;
    memcpy((char *)at + rows->n++ * bytes, row, bytes);
    return 0;
}

int chain_catalog_add_version(struct chain_catalog *c, enum item_kind kind, const uint8_t owner[ADDRESS_BYTES],
                              const char *name, const struct row_version *row, struct err *e)
{
    struct catalogued_version v;
    size_t n = strlen(name);
    memset(&v, 0, sizeof v);
    v.kind = (uint8_t)kind;
    v.row = *row;
    if (n >= sizeof v.name)
        return err_set(e, OL_EINVAL, "catalog", "a name of %zu bytes; %zu at most", n, sizeof v.name - 1);
    if (kind < ITEM_NODE || kind > ITEM_POLICY)
        return err_set(e, OL_EINVAL, "catalog", "kind %d is none of 1 to %d", kind, ITEM_POLICY);
    memcpy(v.name, name, n);
    memcpy(v.owner, owner, ADDRESS_BYTES);
    item_id(kind, owner, name, v.row.item);
    version_id(&v.row, v.id);
    int rc = check_version(&v, e);
    return rc ? rc : append(&c->versions, &v, sizeof v, e);
}

int chain_catalog_add_price(struct chain_catalog *c, const struct row_price *row, struct err *e)
{
    struct catalogued_price p = {.row = *row};
    price_id(row, p.id);
    int rc = check_price(&p, e);
    return rc ? rc : append(&c->prices, &p, sizeof p, e);
}

int chain_catalog_add_split(struct chain_catalog *c, const struct row_split *row, struct err *e)
{
    struct catalogued_split s = {.row = *row};
    split_id(row, s.id);
    int rc = check_split(&s, e);
    if (!rc && !(rc = append(&c->splits, &s, sizeof s, e)))
        memcpy(c->split, s.id, sizeof s.id);
    return rc;
}

const struct catalogued_version *chain_catalog_version(const struct chain_catalog *c, const uint8_t id[32])
{
    return find(&c->versions, sizeof(struct catalogued_version), id);
}

const struct catalogued_version *chain_catalog_by_content(const struct chain_catalog *c, const uint8_t content_hash[32],
                                                          const uint8_t *base_version)
{
    const struct catalogued_version *best = NULL;
    for (size_t i = 0; i < c->versions.n; i++) {
        const struct catalogued_version *v = version_at(c, i);
        if (memcmp(v->row.content_hash, content_hash, 32) == 0 &&
            (!base_version || memcmp(v->row.base_version, base_version, 32) == 0) &&
            (!best || v->row.number > best->row.number))
            best = v;
    }
    return best;
}

const struct catalogued_version *chain_catalog_by_name(const struct chain_catalog *c, enum item_kind kind,
                                                       const char *name)
{
    const struct catalogued_version *best = NULL;
    for (size_t i = 0; i < c->versions.n; i++) {
        const struct catalogued_version *v = version_at(c, i);
        if (v->kind == kind && strcmp(v->name, name) == 0 && (!best || v->row.number > best->row.number))
            best = v;
    }
    return best;
}

const struct catalogued_price *chain_catalog_price(const struct chain_catalog *c, const uint8_t id[32])
{
    return find(&c->prices, sizeof(struct catalogued_price), id);
}

const struct catalogued_price *chain_catalog_price_at(const struct chain_catalog *c, const uint8_t node[ADDRESS_BYTES],
                                                      const uint8_t version[32], enum tier tier, uint64_t time_s)
{
    const struct catalogued_price *best = NULL;
    for (size_t i = 0; i < c->prices.n; i++) {
        const struct catalogued_price *p = price_row_at(c, i);
        if (memcmp(p->row.node, node, ADDRESS_BYTES) == 0 && memcmp(p->row.version, version, 32) == 0 &&
            p->row.tier == tier && p->row.effective_time <= time_s &&
            (!best || p->row.effective_time >= best->row.effective_time))
            best = p;
    }
    return best;
}

const struct catalogued_split *chain_catalog_split(const struct chain_catalog *c, const uint8_t id[32])
{
    return find(&c->splits, sizeof(struct catalogued_split), id);
}

const struct catalogued_split *chain_catalog_split_in_force(const struct chain_catalog *c)
{
    return chain_catalog_split(c, c->split);
}
