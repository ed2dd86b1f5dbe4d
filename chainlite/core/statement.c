/* Attribution Statements; see statement.h. */
#include "chainlite/core/statement.h"

#include "chainlite/core/eip712.h"

#include <string.h>

static const char statement_type[] =
    "AttributionStatement(bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 policy,uint8 kind,"
    "uint32 answerTokens,uint32 openTokens,bytes32 spanRoot,bytes32 queryHash,bytes32 sharesRoot,uint32 sharesCount,"
    "uint32 sharesTotal)";

static const struct field statement_fields[] = {
    FIELD(attribution_statement, HASH, "receipt_id", receipt_id),
    FIELD(attribution_statement, ADDRESS, "node", node),
    FIELD(attribution_statement, U64, "epoch", epoch),
    FIELD(attribution_statement, U64, "sequence", sequence),
    FIELD(attribution_statement, HASH, "policy", policy),
    FIELD(attribution_statement, U8, "kind", kind),
    FIELD(attribution_statement, U32, "answer_tokens", answer_tokens),
    FIELD(attribution_statement, U32, "open_tokens", open_tokens),
    FIELD(attribution_statement, HASH, "span_root", span_root),
    FIELD(attribution_statement, HASH, "query_hash", query_hash),
    FIELD(attribution_statement, HASH, "shares_root", shares_root),
    FIELD(attribution_statement, U32, "shares_count", shares_count),
    FIELD(attribution_statement, U32, "shares_total", shares_total),
};
const struct schema attribution_statement_schema = SCHEMA("statement", attribution_statement, statement_fields);

void statement_struct_hash(const struct attribution_statement *s, uint8_t out[HASH_BYTES])
{
    schema_hash(&attribution_statement_schema, s, statement_type, out);
}

void statement_digest(const struct attribution_statement *s, const struct domains *d, uint8_t out[HASH_BYTES])
{
    uint8_t hash[HASH_BYTES];
    statement_struct_hash(s, hash);
    eip712_digest(d->settlement, hash, out);
}

static bool is_zero(const uint8_t bytes[32])
{
    static const uint8_t none[32];
    return memcmp(bytes, none, sizeof none) == 0;
}

int statement_check(const struct attribution_statement *s, const struct proof *p, struct err *e)
{
    const char *wrong = NULL;
    if (memcmp(s->receipt_id, p->receipt_id, 32) != 0)
        wrong = "receipt_id";
    else if (memcmp(s->node, p->node, ADDRESS_BYTES) != 0)
        wrong = "node";
    else if (s->epoch != p->epoch)
        wrong = "epoch";
    else if (s->sequence != p->sequence)
        wrong = "sequence";
    else if (memcmp(s->policy, p->attribution_policy, 32) != 0 || is_zero(s->policy))
        wrong = "policy";
    else if (s->kind < STATEMENT_SPANS || s->kind > STATEMENT_MEAN)
        wrong = "kind";
    else if (s->answer_tokens > p->output_tokens)
        wrong = "answer_tokens";
    else if (s->open_tokens > s->answer_tokens)
        wrong = "open_tokens";
    else if (memcmp(s->span_root, p->span_root, 32) != 0)
        wrong = "span_root";
    else if (s->kind != STATEMENT_GRADIENTS && !is_zero(s->query_hash))
        wrong = "query_hash";
    else if (s->shares_count == 0 && !is_zero(s->shares_root))
        wrong = "shares_root";
    else if ((s->shares_count == 0) != (s->shares_total == 0) || s->shares_total > UNITS)
        wrong = "shares_total";
    return wrong ? err_set(e, OL_EFORMAT, "statement", "%s is not what the receipt or the rule says", wrong) : 0;
}
