/* Rows of attribution; see outbox_attribution.h. */
#include "chainlite/settle/outbox_attribution.h"

#include "chainlite/settle/outbox_internal.h"

#include <string.h>

#define MODULE "outbox"

static const struct field attribution_fields[] = {
    FIELD(outbox_attribution, U32, "answer_tokens", answer_tokens),
    FIELD(outbox_attribution, U32, "open_tokens", open_tokens),
    FIELD_MANY(outbox_attribution, "spans", spans, &span_schema, RECEIPT_MAX_SPANS),
    FIELD(outbox_attribution, BOOL, "has_gradient", has_gradient),
    FIELD(outbox_attribution, HASH, "query_hash", query_hash),
    FIELD_MANY(outbox_attribution, "gradient", gradient, &gradient_schema, RECEIPT_MAX_SHARES),
};
const struct schema outbox_attribution_schema = SCHEMA("attribution", outbox_attribution, attribution_fields);

static const struct field sum_fields[] = {
    FIELD(gradient_sum, ADDRESS, "beneficiary", beneficiary),
    FIELD(gradient_sum, U64, "units", units),
};
static const struct schema sum_schema = SCHEMA_AS(ARRAY, "sum", gradient_sum, sum_fields);

static const struct field mean_fields[] = {
    FIELD(outbox_mean, U64, "sum_open", sum_open),
    FIELD_MANY(outbox_mean, "sums", sums, &sum_schema, OUTBOX_MAX_MEAN_SUMS),
};
const struct schema outbox_mean_schema = SCHEMA("mean", outbox_mean, mean_fields);

/* ---- what was said of a receipt */

void outbox_put_attribution(struct outbox_write *w, uint64_t epoch, uint64_t sequence, const struct outbox_attribution *a)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    row_put(w, CF_ATTRIBUTIONS, place, sizeof place, &outbox_attribution_schema, a, NULL, 0);
}

int outbox_attribution(struct outbox *o, uint64_t epoch, uint64_t sequence, struct outbox_attribution *out,
                       struct err *e)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    return row_get(o, CF_ATTRIBUTIONS, place, sizeof place, &outbox_attribution_schema, out, e);
}

/* ---- statements */

void outbox_put_statement(struct outbox_write *w, const struct signed_statement *s)
{
    uint8_t index[ADDRESS_BYTES + PLACE_KEY_BYTES], *place = index + ADDRESS_BYTES;
    const struct share *share = s->shares.at;
    key_place(s->statement.epoch, s->statement.sequence, place);
    row_put(w, CF_STATEMENTS, place, PLACE_KEY_BYTES, &signed_statement_schema, s, NULL, 0);
    for (size_t i = 0; i < s->shares.n; i++) {
        memcpy(index, share[i].beneficiary, ADDRESS_BYTES);
        ops_close(&w->ops, ops_open(&w->ops, CF_CONTRIBUTORS, index, sizeof index));
    }
}

int outbox_statement(struct outbox *o, uint64_t epoch, uint64_t sequence, struct signed_statement *out, struct err *e)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    return row_get(o, CF_STATEMENTS, place, sizeof place, &signed_statement_schema, out, e);
}

static int no_bytes(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    (void)user, (void)key, (void)key_len, (void)value, (void)n, (void)e;
    return 0;
}

bool outbox_has_statement(struct outbox *o, uint64_t epoch, uint64_t sequence)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    return outbox_get(o, CF_STATEMENTS, place, sizeof place, no_bytes, NULL, NULL) == 0;
}

struct walk {
    struct outbox *outbox;
    outbox_statement_row row;
    void *user;
    uint64_t end;
};

static int on_statement(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct signed_statement s;
    if (key_len != PLACE_KEY_BYTES)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged place of a statement");
    if (key_read_u64(key + 8) >= w->end)
        return 1;
    int rc = row_unpack(&signed_statement_schema, value, n, &s, NULL, NULL, e);
    if (rc)
        return rc;
    rc = w->row(w->user, &s);
    schema_free(&signed_statement_schema, &s);
    return rc;
}

int outbox_statements(struct outbox *o, uint64_t epoch, uint64_t first, uint64_t end, outbox_statement_row row,
                      void *user, struct err *e)
{
    uint8_t from[PLACE_KEY_BYTES];
    struct walk w = {.row = row, .user = user, .end = end};
    key_place(epoch, first, from);
    struct db_range range = {CF_STATEMENTS, from, sizeof from, 8, false, UINT64_MAX};
    int rc = outbox_scan(o, &range, on_statement, &w, e);
    return rc > 0 ? 0 : rc;
}

/* A row of the index: the statement stands elsewhere. */
static int on_contributor(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct signed_statement s;
    (void)value, (void)n;
    if (key_len != ADDRESS_BYTES + PLACE_KEY_BYTES)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged index of contributors");
    const uint8_t *place = key + ADDRESS_BYTES;
    int rc = outbox_statement(w->outbox, key_read_u64(place), key_read_u64(place + 8), &s, e);
    if (rc)
        return rc;
    rc = w->row(w->user, &s);
    schema_free(&signed_statement_schema, &s);
    return rc;
}

int outbox_statements_of(struct outbox *o, const uint8_t beneficiary[ADDRESS_BYTES], uint64_t epoch, uint64_t sequence,
                         uint64_t max, outbox_statement_row row, void *user, struct err *e)
{
    uint8_t from[ADDRESS_BYTES + PLACE_KEY_BYTES];
    struct walk w = {.outbox = o, .row = row, .user = user};
    if (sequence-- == 0 && epoch-- == 0)
        return 0; /* nothing stands before the first place */
    memcpy(from, beneficiary, ADDRESS_BYTES);
    key_place(epoch, sequence, from + ADDRESS_BYTES);
    struct db_range range = {CF_CONTRIBUTORS, from, sizeof from, ADDRESS_BYTES, true, max};
    return outbox_scan(o, &range, on_contributor, &w, e);
}

/* ---- means */

static void mean_key(uint64_t epoch, const uint8_t policy[32], uint8_t out[8 + 32])
{
    key_u64(epoch, out);
    memcpy(out + 8, policy, 32);
}

void outbox_put_mean(struct outbox_write *w, uint64_t epoch, const uint8_t policy[32], const struct outbox_mean *m)
{
    uint8_t key[8 + 32];
    mean_key(epoch, policy, key);
    row_put(w, CF_MEANS, key, sizeof key, &outbox_mean_schema, m, NULL, 0);
}

int outbox_mean(struct outbox *o, uint64_t epoch, const uint8_t policy[32], struct outbox_mean *out, struct err *e)
{
    uint8_t key[8 + 32];
    mean_key(epoch, policy, key);
    return row_get(o, CF_MEANS, key, sizeof key, &outbox_mean_schema, out, e);
}
