/* The catalog: the rows that this node's bills refer to, in one file (catalog.json) that `openlora chain` writes and
 * chainlited reads. Versions carry what their item consists of, so that every id in the file can be computed again from
 * what stands beside it; a file with a wrong one is refused. Rows are immutable and the registry only appends: rows are
 * added, never changed. Few hundred rows: lookups are linear. */
#ifndef OPENLORA_JSON_CATALOG_H
#define OPENLORA_JSON_CATALOG_H

#include "chainlite/core/rows.h"
#include "chainlite/json/chain_file.h"

enum { CATALOG_VERSION = 1, CATALOG_MAX_ROWS = 4096, CATALOG_MAX_BYTES = 16 << 20, ITEM_NAME_BYTES = 129 };

struct catalogued_version {
    uint8_t id[32]; /* version_id(&row) */
    char name[ITEM_NAME_BYTES];
    uint8_t kind; /* enum item_kind */
    uint8_t owner[ADDRESS_BYTES];
    struct row_version row; /* row.item = item_id(kind, owner, name) */
};

struct catalogued_price {
    uint8_t id[32];
    struct row_price row;
};

struct catalogued_split {
    uint8_t id[32];
    struct row_split row;
};

struct chain_catalog {
    uint8_t version;
    struct list versions, prices, splits; /* struct catalogued_…; read them through the functions below */
    uint8_t split[32];                    /* id of the split in force; 0: none yet */
};

/* What GET /v1/catalog serves: the rows, and the deployment they belong to. */
struct served_catalog {
    uint8_t node[ADDRESS_BYTES];
    uint64_t chain_id;
    struct list contracts; /* struct chain_contract */
    struct chain_catalog rows;
};
extern const struct schema chain_catalog_schema, catalogued_version_schema, catalogued_price_schema,
    catalogued_split_schema, served_catalog_schema;

void chain_catalog_init(struct chain_catalog *); /* empty */
void chain_catalog_deinit(struct chain_catalog *);
/* OL_ENOTFOUND: no file. OL_EFORMAT: also an id that is not its row's, an unknown split in force, an id twice. */
int chain_catalog_load(const char *path, struct chain_catalog *out, struct err *) __attribute__((warn_unused_result));
int chain_catalog_parse(const char *text, size_t n, struct chain_catalog *out, struct err *)
    __attribute__((warn_unused_result));
/* Ids are computed again here too, not believed. Release with schema_free(&served_catalog_schema, …). */
int served_catalog_read(const json_t *, struct served_catalog *out, struct err *) __attribute__((warn_unused_result));
int chain_catalog_save(const struct chain_catalog *, const char *path, struct err *) __attribute__((warn_unused_result));

/* Compute the ids (and the item) and append; 0 also when the row is there already. OL_EINVAL: a row that no contract
 * would take: an empty or over-long name, parts that are not the whole. OL_ELIMIT, OL_ENOMEM. */
int chain_catalog_add_version(struct chain_catalog *, enum item_kind, const uint8_t owner[ADDRESS_BYTES],
                              const char *name, const struct row_version *, struct err *);
int chain_catalog_add_price(struct chain_catalog *, const struct row_price *, struct err *);
int chain_catalog_add_split(struct chain_catalog *, const struct row_split *, struct err *); /* it is in force then */

/* NULL: none. Borrowed until the catalog changes. */
const struct catalogued_version *chain_catalog_version(const struct chain_catalog *, const uint8_t id[32]);
/* The highest version number with this content and, for adapters, on this base (NULL: any base). */
const struct catalogued_version *chain_catalog_by_content(const struct chain_catalog *, const uint8_t content_hash[32],
                                                          const uint8_t *base_version);
const struct catalogued_version *chain_catalog_by_name(const struct chain_catalog *, enum item_kind,
                                                       const char *name); /* newest */
const struct catalogued_price *chain_catalog_price(const struct chain_catalog *, const uint8_t id[32]);
/* What this node asks at `time_s`: the price with the latest effective time not after it (of two, the later row). */
const struct catalogued_price *chain_catalog_price_at(const struct chain_catalog *, const uint8_t node[ADDRESS_BYTES],
                                                      const uint8_t version[32], enum tier, uint64_t time_s);
const struct catalogued_split *chain_catalog_split(const struct chain_catalog *, const uint8_t id[32]);
const struct catalogued_split *chain_catalog_split_in_force(const struct chain_catalog *);

#endif
