/* Evidence as JSON; see evidence.h. */
#include "attribution/evidence.h"

#include "chainlite/json/notation.h"

enum { MAX_QUERY_BYTES = 1 << 16 };

struct token {
    uint32_t id;
};
static const struct field token_fields[] = {FIELD(token, U32, "id", id)};
static const struct schema token_schema = SCHEMA_AS(BARE, "token", token, token_fields);

static const struct field tokens_fields[] = {
    FIELD_MANY(evidence_tokens, "ids", ids, &token_schema, EVIDENCE_MAX_TOKENS),
};
static const struct schema tokens_schema = SCHEMA_AS(BARE, "tokens", evidence_tokens, tokens_fields);

static const struct field choice_fields[] = {
    FIELD(evidence_choice, U32, "prompt", prompt),
    FIELD_MANY(evidence_choice, "ids", ids, &token_schema, EVIDENCE_MAX_TOKENS),
};
static const struct schema choice_schema = SCHEMA("choice", evidence_choice, choice_fields);

static const struct field gradients_fields[] = {
    FIELD_BOUNDED(evidence_gradients, BYTES, "query", query, MAX_QUERY_BYTES),
    FIELD_MANY(evidence_gradients, "units", units, &gradient_schema, RECEIPT_MAX_SHARES),
};
static const struct schema gradients_schema = SCHEMA("gradients", evidence_gradients, gradients_fields);

static const struct field evidence_fields[] = {
    FIELD_BOUNDED(evidence, VERSION, "version", version, EVIDENCE_VERSION),
    FIELD(evidence, HASH, "receipt_id", receipt_id),
    FIELD(evidence, HASH, "policy", policy),
    FIELD(evidence, ADDRESS, "payer", payer),
    FIELD_MANY(evidence, "prompts", prompts, &tokens_schema, EVIDENCE_MAX_CHOICES),
    FIELD_MANY(evidence, "choices", choices, &choice_schema, EVIDENCE_MAX_CHOICES),
    FIELD(evidence, U32, "open_tokens", open_tokens),
    FIELD_MANY(evidence, "spans", spans, &span_schema, RECEIPT_MAX_SPANS),
    FIELD_NULLABLE(evidence, "gradients", gradients, has_gradients, &gradients_schema),
};
const struct schema evidence_schema = SCHEMA("evidence", evidence, evidence_fields);

uint32_t evidence_answer_tokens(const struct evidence *e)
{
    const struct evidence_choice *choices = e->choices.at;
    size_t n = 0;
    for (size_t i = 0; i < e->choices.n; i++)
        n += choices[i].ids.n;
    return (uint32_t)n; /* at most EVIDENCE_MAX_CHOICES · EVIDENCE_MAX_TOKENS = 2^27 */
}

static int check(const struct evidence *v, struct err *e)
{
    const struct evidence_choice *choices = v->choices.at;
    uint32_t span_tokens;
    for (size_t i = 0; i < v->choices.n; i++)
        if (choices[i].prompt >= v->prompts.n)
            return err_set(e, OL_EFORMAT, "evidence", "choice %zu is for prompt %u of %zu", i, choices[i].prompt,
                           v->prompts.n);
    return spans_check(v->spans.at, v->spans.n, evidence_answer_tokens(v), v->open_tokens, &span_tokens, e);
}

int evidence_parse(const char *text, size_t n, struct evidence *out, struct err *e)
{
    if (n > EVIDENCE_MAX_BYTES)
        return err_set(e, OL_ELIMIT, "evidence", "evidence of %zu bytes; %d at most", n, EVIDENCE_MAX_BYTES);
    int rc = notation_parse(&evidence_schema, text, n, out, e);
    if (rc == 0 && (rc = check(out, e)) != 0)
        evidence_deinit(out);
    return rc;
}

void evidence_write(const struct evidence *v, struct buf *out) { notation_write(&evidence_schema, v, out); }

void evidence_deinit(struct evidence *v) { schema_free(&evidence_schema, v); }
