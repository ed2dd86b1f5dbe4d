/* Lines of the audit trail; see datanet_log.h. */
#include "attribution/datanet_log.h"

#include "chainlite/core/eip712.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "log"

#define ENTRY_TYPE                                                                                                     \
    "Entry(bytes32 datanet,uint64 sequence,bytes32 previous,uint64 time,address actor,string action,string body)"

enum { MAX_MEMBERS = 4096, MAX_REFUSALS = 1 << 16 };

static const char *const actions[] = {
    [ACT_CREATE] = "create",   [ACT_MEMBERS] = "members", [ACT_COMMIT] = "commit",     [ACT_PROPOSE] = "propose",
    [ACT_APPROVE] = "approve", [ACT_REJECT] = "reject",   [ACT_WITHDRAW] = "withdraw", [ACT_PUBLISH] = "publish"};

const char *datanet_action_name(enum datanet_action a) { return actions[a]; }

static const struct field entry_fields[] = {
    FIELD(log_entry, U64, "sequence", sequence),
    FIELD(log_entry, HASH, "previous", previous),
    FIELD(log_entry, U64, "time", time),
    FIELD(log_entry, ADDRESS, "actor", actor),
    FIELD_ONE_OF(log_entry, "action", action, actions),
    FIELD(log_entry, OPEN, "body", body),
    FIELD(log_entry, SIGNATURE, "signature", signature),
};
static const struct schema entry_schema = SCHEMA("log entry", log_entry, entry_fields);

static const struct field address_fields[] = {FIELD(log_address, ADDRESS, "address", at)};
static const struct schema address_schema = SCHEMA_AS(BARE, "address", log_address, address_fields);

static const struct field members_fields[] = {
    FIELD_MANY(log_members, "reviewers", reviewers, &address_schema, MAX_MEMBERS),
    FIELD_MANY(log_members, "contributors", contributors, &address_schema, MAX_MEMBERS),
};
static const struct schema members_schema = SCHEMA("list of members", log_members, members_fields);

static const struct field create_fields[] = {
    FIELD_BOUNDED(log_create, TEXT, "name", name, ITEM_NAME_BYTES),
    FIELD(log_create, U64, "chain_id", chain_id),
    FIELD_MERGED(log_create, members, &members_schema),
    FIELD(log_create, U64, "max_bytes", max_bytes),
    FIELD(log_create, U32, "max_contributions", max_contributions),
};
static const struct schema create_schema = SCHEMA("creation", log_create, create_fields);

static const struct field commit_fields[] = {FIELD(log_commit, HASH, "commitment", commitment)};
static const struct schema commit_schema = SCHEMA("commitment", log_commit, commit_fields);

static const struct field refusal_fields[] = {
    FIELD(log_refusal, U32, "line", line),
    FIELD_BOUNDED(log_refusal, TEXT, "reason", reason, sizeof((struct log_refusal *)0)->reason),
};
static const struct schema refusal_schema = SCHEMA_AS(ARRAY, "refusal", log_refusal, refusal_fields);

static const struct field allowed_fields[] = {
    FIELD_BOUNDED(log_refusal, TEXT, "reason", reason, sizeof((struct log_refusal *)0)->reason)};
static const struct schema allowed_schema = SCHEMA_AS(BARE, "kind", log_refusal, allowed_fields);

static const struct field propose_fields[] = {
    FIELD(log_propose, HASH, "sha256", sha256),
    FIELD(log_propose, U64, "bytes", bytes),
    FIELD_ONE_OF(log_propose, "format", format, content_format_names),
    FIELD_MERGED(log_propose, labels, &labels_schema),
    FIELD(log_propose, HASH, "commitment", commitment),
    FIELD(log_propose, HASH, "salt", salt),
    FIELD(log_propose, U32, "rows", rows),
    FIELD_MANY(log_propose, "refused", refused, &refusal_schema, MAX_REFUSALS),
    FIELD_MANY(log_propose, "allowed", allowed, &allowed_schema, MAX_REFUSALS),
};
static const struct schema propose_schema = SCHEMA("proposal", log_propose, propose_fields);

static const struct field verdict_fields[] = {
    FIELD(log_verdict, HASH, "contribution", contribution),
    FIELD_BOUNDED(log_verdict, TEXT, "reason", reason, REASON_BYTES),
};
static const struct schema verdict_schema = SCHEMA("verdict", log_verdict, verdict_fields);

static const struct field publish_fields[] = {
    FIELD_NESTED(log_publish, "row", row, &catalogued_version_schema),
    FIELD(log_publish, HASH, "parent", parent),
};
static const struct schema publish_schema = SCHEMA("publication", log_publish, publish_fields);

static const struct schema *const bodies[] = {
    [ACT_CREATE] = &create_schema,    [ACT_MEMBERS] = &members_schema, [ACT_COMMIT] = &commit_schema,
    [ACT_PROPOSE] = &propose_schema,  [ACT_APPROVE] = &verdict_schema, [ACT_REJECT] = &verdict_schema,
    [ACT_WITHDRAW] = &verdict_schema, [ACT_PUBLISH] = &publish_schema};

int log_entry_init(struct log_entry *entry, enum datanet_action action, const void *body, struct err *e)
{
    struct buf text;
    memset(entry, 0, sizeof *entry);
    entry->action = (uint8_t)action;
    buf_init(&text, LOG_LINE_MAX_BYTES / 2);
    notation_write(bodies[action], body, &text);
    if (buf_failed(&text))
        err_set(e, text.no_memory ? OL_ENOMEM : OL_ELIMIT, MODULE, "a log entry is too long");
    else
        entry->body = notation_load(buf_str(&text), text.len, e);
    buf_deinit(&text);
    return entry->body ? 0 : e ? e->code : OL_EFORMAT;
}

int log_body_read(const struct log_entry *entry, void *out, struct err *e)
{
    int rc = notation_read(bodies[entry->action], entry->body, out, e);
    return rc == 0 ? 0 : err_prefix(e, "body");
}

void log_body_free(enum datanet_action action, void *body) { schema_free(bodies[action], body); }

int log_entry_parse(const char *line, size_t n, struct log_entry *out, struct err *e)
{
    return notation_parse(&entry_schema, line, n, out, e);
}

void log_entry_deinit(struct log_entry *entry) { schema_free(&entry_schema, entry); }
void log_entry_write(const struct log_entry *entry, struct buf *out) { notation_write(&entry_schema, entry, out); }

int log_entry_digest(const struct log_entry *entry, const uint8_t item[32], uint64_t chain_id, uint8_t out[32],
                     struct err *e)
{
    static const uint8_t no_contract[ADDRESS_BYTES];
    uint8_t domain[HASH_BYTES], hash[HASH_BYTES];
    struct eip712 typed;
    char *body = json_dumps(entry->body, JSON_COMPACT);
    if (!body)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a log entry");
    eip712_domain("OpenLoRA Datanet", "1", chain_id, no_contract, domain);
    eip712_begin(&typed, ENTRY_TYPE);
    eip712_word(&typed, item);
    eip712_u64(&typed, entry->sequence);
    eip712_word(&typed, entry->previous);
    eip712_u64(&typed, entry->time);
    eip712_address(&typed, entry->actor);
    eip712_bytes(&typed, actions[entry->action], strlen(actions[entry->action]));
    eip712_bytes(&typed, body, strlen(body));
    eip712_end(&typed, hash);
    eip712_digest(domain, hash, out);
    free(body);
    return 0;
}
