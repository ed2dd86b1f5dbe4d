/* The outbox's rows, one group of functions per family: which key a row has and what is written with it. */
#include "chainlite/settle/outbox.h"

#include "chainlite/settle/outbox_internal.h"

#include <string.h>

#define MODULE "outbox"

void row_put(struct outbox_write *w, enum outbox_cf cf, const void *key, size_t key_len, const struct schema *schema,
             const void *object, const void *tail, size_t tail_len)
{
    size_t at = ops_open(&w->ops, cf, key, key_len);
    row_pack(schema, object, tail, tail_len, &w->ops);
    ops_close(&w->ops, at);
}

struct take { /* where a row goes */
    const struct schema *schema;
    void *out;
};

static int take_row(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct take *t = user;
    (void)key, (void)key_len;
    return row_unpack(t->schema, value, n, t->out, NULL, NULL, e);
}

int row_get(struct outbox *o, enum outbox_cf cf, const void *key, size_t key_len, const struct schema *schema, void *out,
            struct err *e)
{
    struct take t = {schema, out};
    memset(out, 0, schema->bytes);
    return outbox_get(o, cf, key, key_len, take_row, &t, e);
}

/* ---- reservations */

void outbox_put_reservation(struct outbox_write *w, const struct outbox_reservation *r)
{
    row_put(w, CF_RESERVATIONS, r->receipt_id, 32, &outbox_reservation_schema, r, NULL, 0);
}

void outbox_drop_reservation(struct outbox_write *w, const uint8_t receipt_id[32])
{
    ops_drop(&w->ops, CF_RESERVATIONS, receipt_id, 32);
}

int outbox_reservation(struct outbox *o, const uint8_t receipt_id[32], struct outbox_reservation *out, struct err *e)
{
    return row_get(o, CF_RESERVATIONS, receipt_id, 32, &outbox_reservation_schema, out, e);
}

/* ---- receipts */

void outbox_put_receipt(struct outbox_write *w, const struct outbox_receipt *r)
{
    uint8_t place[PLACE_KEY_BYTES], tenant[OUTBOX_TENANT_BYTES + PLACE_KEY_BYTES];
    size_t n = strnlen(r->tenant, OUTBOX_TENANT_BYTES - 1);
    key_place(r->proof.epoch, r->proof.sequence, place);
    row_put(w, CF_RECEIPTS, place, sizeof place, &outbox_receipt_schema, r, NULL, 0);
    size_t at = ops_open(&w->ops, CF_RECEIPT_IDS, r->proof.receipt_id, 32);
    buf_add(&w->ops, place, sizeof place);
    ops_close(&w->ops, at);
    memcpy(tenant, r->tenant, n);
    tenant[n] = 0;
    memcpy(tenant + n + 1, place, sizeof place);
    ops_close(&w->ops, ops_open(&w->ops, CF_TENANTS, tenant, n + 1 + sizeof place));
}

int outbox_receipt(struct outbox *o, uint64_t epoch, uint64_t sequence, struct outbox_receipt *out, struct err *e)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    return row_get(o, CF_RECEIPTS, place, sizeof place, &outbox_receipt_schema, out, e);
}

static int take_place(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    (void)key, (void)key_len;
    if (n != PLACE_KEY_BYTES)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged place of a receipt");
    memcpy(user, value, n);
    return 0;
}

int outbox_receipt_find(struct outbox *o, const uint8_t receipt_id[32], struct outbox_receipt *out, struct err *e)
{
    uint8_t place[PLACE_KEY_BYTES];
    int rc = outbox_get(o, CF_RECEIPT_IDS, receipt_id, 32, take_place, place, e);
    return rc ? rc : row_get(o, CF_RECEIPTS, place, sizeof place, &outbox_receipt_schema, out, e);
}

/* ---- payers */

void outbox_put_payer(struct outbox_write *w, const struct outbox_payer *p)
{
    row_put(w, CF_PAYERS, p->payer, ADDRESS_BYTES, &outbox_payer_schema, p, NULL, 0);
}

int outbox_payer(struct outbox *o, const uint8_t payer[ADDRESS_BYTES], struct outbox_payer *out, struct err *e)
{
    return row_get(o, CF_PAYERS, payer, ADDRESS_BYTES, &outbox_payer_schema, out, e);
}

/* ---- batches: by number, and by their first receipt */

static void batch_key(uint64_t number, uint8_t out[9])
{
    out[0] = 'n';
    key_u64(number, out + 1);
}

void outbox_put_batch(struct outbox_write *w, const struct outbox_batch *b)
{
    uint8_t key[9], index[1 + PLACE_KEY_BYTES] = {'i'};
    CHECK(b->batch.count <= OUTBOX_MAX_BATCH_RECEIPTS);
    batch_key(b->batch.number, key);
    row_put(w, CF_BATCHES, key, sizeof key, &outbox_batch_schema, b, b->unsettled, (b->batch.count + 7) / 8);
    key_place(b->batch.epoch, b->batch.first_sequence, index + 1);
    size_t at = ops_open(&w->ops, CF_BATCHES, index, sizeof index);
    buf_add(&w->ops, key + 1, 8);
    ops_close(&w->ops, at);
}

/* user: struct outbox_batch. */
static int take_batch(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    struct outbox_batch *b = user;
    const uint8_t *tail;
    size_t tail_len;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_batch_schema, value, n, b, &tail, &tail_len, e);
    if (rc == 0 && (b->batch.count > OUTBOX_MAX_BATCH_RECEIPTS || tail_len != (b->batch.count + 7) / 8))
        rc = err_set(e, OL_EFORMAT, MODULE, "a damaged batch row");
    if (rc == 0)
        memcpy(b->unsettled, tail, tail_len);
    return rc;
}

int outbox_batch(struct outbox *o, uint64_t number, struct outbox_batch *out, struct err *e)
{
    uint8_t key[9];
    batch_key(number, key);
    return outbox_get(o, CF_BATCHES, key, sizeof key, take_batch, out, e);
}

static int take_number(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    (void)key, (void)key_len;
    if (n != 8)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged index of batches");
    *(uint64_t *)user = key_read_u64(value);
    return 0;
}

int outbox_batch_of(struct outbox *o, uint64_t epoch, uint64_t sequence, struct outbox_batch *out, struct err *e)
{
    uint8_t from[1 + PLACE_KEY_BYTES] = {'i'};
    uint64_t number = 0;
    key_place(epoch, sequence, from + 1);
    struct db_range range = {CF_BATCHES, from, sizeof from, 9, true, 1}; /* of this epoch, downwards */
    int rc = outbox_scan(o, &range, take_number, &number, e);
    if (rc == 0 && number != 0)
        rc = outbox_batch(o, number, out, e);
    /* A void batch's number is used again by one of a later epoch. */
    if (rc == 0 && (number == 0 || out->batch.epoch != epoch ||
                    sequence - out->batch.first_sequence >= out->batch.count))
        rc = err_set(e, OL_ENOTFOUND, MODULE, "no batch holds this receipt yet");
    return rc;
}

static int take_last_number(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n,
                            struct err *e)
{
    (void)value, (void)n;
    return take_number(user, NULL, 0, key + 1, key_len - 1, e);
}

int outbox_batch_last(struct outbox *o, uint64_t *number, struct err *e)
{
    uint8_t from[9];
    batch_key(UINT64_MAX, from);
    struct db_range range = {CF_BATCHES, from, sizeof from, 1, true, 1};
    *number = 0;
    return outbox_scan(o, &range, take_last_number, number, e);
}

const char *outbox_batch_state_name(enum outbox_batch_state state)
{
    static const char *const names[] = {"unknown", "closed", "submitted", "unsafe", "safe", "anchored", "voided", "dead"};
    return names[state >= BATCH_CLOSED && state <= BATCH_DEAD ? state : 0];
}

/* ---- transactions */

void outbox_put_tx(struct outbox_write *w, const struct outbox_tx *t)
{
    uint8_t key[12];
    CHECK(t->raw_len <= OUTBOX_MAX_TX_BYTES);
    key_u64((uint64_t)t->variant, key + 4); /* the lower half is the variant; the nonce covers the upper */
    key_u64(t->nonce, key);
    row_put(w, CF_TRANSACTIONS, key, sizeof key, &outbox_tx_schema, t, t->raw, t->raw_len);
}

/* ---- dead letters */

void outbox_put_dead(struct outbox_write *w, const struct outbox_dead *d)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(d->epoch, d->sequence, place);
    row_put(w, CF_DEAD, place, sizeof place, &outbox_dead_schema, d, NULL, 0);
}

void outbox_drop_dead(struct outbox_write *w, uint64_t epoch, uint64_t sequence)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    ops_drop(&w->ops, CF_DEAD, place, sizeof place);
}

int outbox_dead(struct outbox *o, uint64_t epoch, uint64_t sequence, struct outbox_dead *out, struct err *e)
{
    uint8_t place[PLACE_KEY_BYTES];
    key_place(epoch, sequence, place);
    return row_get(o, CF_DEAD, place, sizeof place, &outbox_dead_schema, out, e);
}

/* ---- named values: their bytes as they are */

void outbox_put_meta(struct outbox_write *w, const char *name, const void *bytes, size_t n)
{
    CHECK(strlen(name) < OUTBOX_KEY_BYTES && n <= 1024);
    size_t at = ops_open(&w->ops, CF_META, name, strlen(name));
    buf_add(&w->ops, bytes, n);
    ops_close(&w->ops, at);
}

void outbox_drop_meta(struct outbox_write *w, const char *name) { ops_drop(&w->ops, CF_META, name, strlen(name)); }

struct meta_value {
    const char *name;
    void *out;
    size_t n;
};

static int take_meta(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct meta_value *m = user;
    (void)key, (void)key_len;
    if (n != m->n)
        return err_set(e, OL_EFORMAT, MODULE, "%s has %zu bytes instead of %zu", m->name, n, m->n);
    memcpy(m->out, value, n);
    return 0;
}

int outbox_meta(struct outbox *o, const char *name, void *bytes, size_t n, struct err *e)
{
    struct meta_value m = {name, bytes, n};
    return outbox_get(o, CF_META, name, strlen(name), take_meta, &m, e);
}

void outbox_put_meta_u64(struct outbox_write *w, const char *name, uint64_t value)
{
    uint8_t bytes[8];
    key_u64(value, bytes);
    outbox_put_meta(w, name, bytes, sizeof bytes);
}

int outbox_meta_u64(struct outbox *o, const char *name, uint64_t *out, struct err *e)
{
    uint8_t bytes[8];
    int rc = outbox_meta(o, name, bytes, sizeof bytes, e);
    if (rc == 0)
        *out = key_read_u64(bytes);
    return rc;
}
