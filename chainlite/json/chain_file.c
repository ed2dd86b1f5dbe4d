/* Chain data files; see chain_file.h. */
#include "chainlite/json/chain_file.h"

#include "chainlite/core/dispute.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_FILE_MAX_BYTES = 1 << 16 };

/* A value or null: a struct of one nullable field, written without a key. */
struct bare_address {
    uint8_t at[ADDRESS_BYTES];
};
static const struct field bare_address_fields[] = {FIELD(bare_address, ADDRESS, "address", at)};
static const struct schema bare_address_schema = SCHEMA_AS(BARE, "address", bare_address, bare_address_fields);
static const struct field address_fields[] = {FIELD_NULLABLE(chain_address, "address", at, known, &bare_address_schema)};
static const struct schema address_schema = SCHEMA_AS(BARE, "address", chain_address, address_fields);

struct bare_number {
    uint64_t value;
};
static const struct field bare_number_fields[] = {FIELD(bare_number, U64, "number", value)};
static const struct schema bare_number_schema = SCHEMA_AS(BARE, "number", bare_number, bare_number_fields);
static const struct field number_fields[] = {FIELD_NULLABLE(chain_number, "number", value, known, &bare_number_schema)};
static const struct schema number_schema = SCHEMA_AS(BARE, "number", chain_number, number_fields);

static const struct field forks_fields[] = {
    FIELD_NESTED(chain_forks, "bedrock", time[FORK_BEDROCK], &number_schema),
    FIELD_NESTED(chain_forks, "canyon", time[FORK_CANYON], &number_schema),
    FIELD_NESTED(chain_forks, "ecotone", time[FORK_ECOTONE], &number_schema),
    FIELD_NESTED(chain_forks, "holocene", time[FORK_HOLOCENE], &number_schema),
    FIELD_NESTED(chain_forks, "isthmus", time[FORK_ISTHMUS], &number_schema),
    FIELD_NESTED(chain_forks, "jovian", time[FORK_JOVIAN], &number_schema),
    FIELD_NESTED(chain_forks, "karst", time[FORK_KARST], &number_schema),
};
_Static_assert(sizeof forks_fields / sizeof *forks_fields == FORK_COUNT, "every fork has a key");
static const struct schema forks_schema = SCHEMA("list of forks", chain_forks, forks_fields);

static const struct field contract_fields[] = {
    FIELD_BOUNDED(chain_contract, TEXT, "name", name, CHAIN_NAME_BYTES),
    FIELD(chain_contract, ADDRESS, "address", address),
};
const struct schema chain_contract_schema = SCHEMA("contract", chain_contract, contract_fields);

static const struct field anchors_fields[] = {
    FIELD(chain_anchors, U64, "chain_id", l1_chain_id),
    FIELD_NESTED(chain_anchors, "system_config", system_config, &address_schema),
    FIELD_NESTED(chain_anchors, "dispute_game_factory", dispute_game_factory, &address_schema),
    FIELD_NESTED(chain_anchors, "anchor_state_registry", anchor_state_registry, &address_schema),
    FIELD_BOUNDED(chain_anchors, TEXT, "layout", layout, CHAIN_NAME_BYTES),
};
static const struct schema anchors_schema = SCHEMA("set of anchors", chain_anchors, anchors_fields);

static const struct field note_fields[] = {FIELD_BOUNDED(chain_note, TEXT, "note", text, CHAIN_NOTE_BYTES)};
static const struct schema note_schema = SCHEMA_AS(BARE, "note", chain_note, note_fields);

static const struct field chain_fields[] = {
    FIELD_BOUNDED(chain_file, VERSION, "version", version, CHAIN_FILE_VERSION),
    FIELD_BOUNDED(chain_file, TEXT, "name", name, CHAIN_NAME_BYTES),
    FIELD(chain_file, U64, "chain_id", chain_id),
    FIELD_BOUNDED(chain_file, TEXT, "coin", coin, CHAIN_NAME_BYTES),
    FIELD_NESTED(chain_file, "block_time_s", block_time_s, &number_schema),
    FIELD(chain_file, BOOL, "op_stack", op_stack),
    FIELD_NESTED(chain_file, "forks", forks, &forks_schema),
    FIELD_NESTED(chain_file, "wrapped_token", wrapped_token, &address_schema),
    FIELD_MANY(chain_file, "contracts", contracts, &chain_contract_schema, CHAIN_MAX_CONTRACTS),
    FIELD_NESTED(chain_file, "window_s", window_s, &number_schema),
    FIELD_NULLABLE(chain_file, "l1", l1, has_l1, &anchors_schema),
    FIELD_MANY(chain_file, "unknown", unknown, &note_schema, CHAIN_MAX_NOTES),
};
const struct schema chain_file_schema = SCHEMA("chain file", chain_file, chain_fields);

/* A layout that the light client has no table of would be found out only when it is asked for trust. */
static int check_layout(int rc, struct chain_file *c, struct err *e)
{
    if (rc || !c->has_l1 || !*c->l1.layout || dispute_layout(c->l1.layout))
        return rc;
    err_set(e, OL_EFORMAT, "chain", "l1.layout: \"%.40s\" is none of chainlite/core/dispute.h", c->l1.layout);
    schema_free(&chain_file_schema, c);
    return OL_EFORMAT;
}

int chain_file_parse(const char *text, size_t n, struct chain_file *out, struct err *e)
{
    return check_layout(notation_parse(&chain_file_schema, text, n, out, e), out, e);
}

int chain_file_load(const char *which, struct chain_file *out, struct err *e)
{
    const char *directory = getenv("OPENLORA_CHAINS");
    char path[PATH_MAX];
    if (strchr(which, '/'))
        return check_layout(notation_read_file(&chain_file_schema, which, CHAIN_FILE_MAX_BYTES, out, e), out, e);
    int n = snprintf(path, sizeof path, "%s/%s.json", directory ? directory : OPENLORA_CHAINS_DIRECTORY, which);
    memset(out, 0, sizeof *out);
    if (n < 0 || n >= PATH_MAX)
        return err_set(e, OL_EINVAL, "chain", "the chain's name is too long: %.80s…", which);
    int rc = notation_read_file(&chain_file_schema, path, CHAIN_FILE_MAX_BYTES, out, e);
    rc = check_layout(rc, out, e);
    return rc == OL_ENOTFOUND ? err_set(e, rc, "chain", "no chain \"%.40s\": there is no %s", which, path) : rc;
}

const uint8_t *chain_contract(const struct list *contracts, const char *name)
{
    const struct chain_contract *contract = contracts->at;
    for (size_t i = 0; i < contracts->n; i++)
        if (strcmp(contract[i].name, name) == 0)
            return contract[i].address;
    return NULL;
}

const uint8_t *chain_file_contract(const struct chain_file *c, const char *name)
{
    return chain_contract(&c->contracts, name);
}

void chain_file_rules(const struct chain_file *c, struct header_rules *out)
{
    out->op_stack = false;
    for (int i = 0; i < FORK_COUNT; i++) {
        const struct chain_number *time = &c->forks.time[i];
        out->fork_time[i] = time->known ? time->value : UINT64_MAX;
        out->op_stack |= c->op_stack && time->known;
    }
}
