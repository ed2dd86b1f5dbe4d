/* Walks over the outbox's families: keys give the order, rows are unpacked one at a time and handed on. */
#include "chainlite/settle/outbox_internal.h"

#include <string.h>

#define MODULE "outbox"

/* A walk's user and the function that takes a row of its family. */
struct walk {
    struct outbox *outbox;
    union {
        outbox_receipt_row receipt;
        int (*reservation)(void *, const struct outbox_reservation *);
        int (*payer)(void *, const struct outbox_payer *);
        int (*batch)(void *, const struct outbox_batch *);
        int (*tx)(void *, const struct outbox_tx *);
        int (*dead)(void *, const struct outbox_dead *);
        int (*meta)(void *, const char *, const void *, size_t);
    } row;
    void *user;
};

/* ---- receipts */

static int on_receipt(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_receipt r;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_receipt_schema, value, n, &r, NULL, NULL, e);
    return rc ? rc : w->row.receipt(w->user, &r);
}

int outbox_receipts(struct outbox *o, uint64_t epoch, uint64_t first, uint64_t max, outbox_receipt_row row, void *user,
                    struct err *e)
{
    uint8_t from[PLACE_KEY_BYTES];
    struct walk w = {.row.receipt = row, .user = user};
    key_place(epoch, first, from);
    struct db_range range = {CF_RECEIPTS, from, sizeof from, 8, false, max};
    return outbox_scan(o, &range, on_receipt, &w, e);
}

static int on_place(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    (void)value, (void)n;
    if (key_len < PLACE_KEY_BYTES)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged place of a receipt");
    memcpy(user, key + key_len - PLACE_KEY_BYTES, PLACE_KEY_BYTES);
    return 0;
}

int outbox_receipt_last(struct outbox *o, uint64_t epoch, uint64_t *sequence, struct err *e)
{
    uint8_t from[PLACE_KEY_BYTES], last[PLACE_KEY_BYTES] = {0};
    key_place(epoch, UINT64_MAX, from);
    struct db_range range = {CF_RECEIPTS, from, sizeof from, 8, true, 1};
    int rc = outbox_scan(o, &range, on_place, last, e);
    *sequence = key_read_u64(last + 8);
    return rc;
}

/* A row of a tenant's index: the receipt stands elsewhere. */
static int on_tenant(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_receipt r;
    uint8_t place[PLACE_KEY_BYTES];
    int rc = on_place(place, key, key_len, value, n, e);
    if (rc == 0)
        rc = outbox_receipt(w->outbox, key_read_u64(place), key_read_u64(place + 8), &r, e);
    return rc ? rc : w->row.receipt(w->user, &r);
}

int outbox_receipts_before(struct outbox *o, const char *tenant, uint64_t epoch, uint64_t sequence, uint64_t max,
                           outbox_receipt_row row, void *user, struct err *e)
{
    uint8_t from[OUTBOX_TENANT_BYTES + PLACE_KEY_BYTES];
    struct walk w = {.outbox = o, .row.receipt = row, .user = user};
    size_t n = tenant ? strnlen(tenant, OUTBOX_TENANT_BYTES) + 1 : 0;
    if (n > OUTBOX_TENANT_BYTES || (epoch == 0 && sequence == 0))
        return 0; /* no tenant has such a name; nothing stands before the first place */
    if (tenant) {
        memcpy(from, tenant, n - 1);
        from[n - 1] = 0;
    }
    if (sequence == 0) {
        epoch--;
        sequence = UINT64_MAX;
    } else {
        sequence--;
    }
    key_place(epoch, sequence, from + n);
    struct db_range range = {tenant ? CF_TENANTS : CF_RECEIPTS, from, n + PLACE_KEY_BYTES, n, true, max};
    return outbox_scan(o, &range, tenant ? on_tenant : on_receipt, &w, e);
}

/* ---- families walked from their beginning */

static int walk_all(struct outbox *o, enum outbox_cf cf, db_row row, struct walk *w, struct err *e)
{
    struct db_range range = {cf, (const uint8_t *)"", 0, 0, false, UINT64_MAX};
    return outbox_scan(o, &range, row, w, e);
}

static int on_reservation(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_reservation r;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_reservation_schema, value, n, &r, NULL, NULL, e);
    return rc ? rc : w->row.reservation(w->user, &r);
}

int outbox_reservations(struct outbox *o, int (*row)(void *, const struct outbox_reservation *), void *user,
                        struct err *e)
{
    struct walk w = {.row.reservation = row, .user = user};
    return walk_all(o, CF_RESERVATIONS, on_reservation, &w, e);
}

static int on_payer(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_payer p;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_payer_schema, value, n, &p, NULL, NULL, e);
    return rc ? rc : w->row.payer(w->user, &p);
}

int outbox_payers(struct outbox *o, int (*row)(void *, const struct outbox_payer *), void *user, struct err *e)
{
    struct walk w = {.row.payer = row, .user = user};
    return walk_all(o, CF_PAYERS, on_payer, &w, e);
}

static int on_dead(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_dead d;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_dead_schema, value, n, &d, NULL, NULL, e);
    return rc ? rc : w->row.dead(w->user, &d);
}

int outbox_deads(struct outbox *o, int (*row)(void *, const struct outbox_dead *), void *user, struct err *e)
{
    struct walk w = {.row.dead = row, .user = user};
    return walk_all(o, CF_DEAD, on_dead, &w, e);
}

/* ---- families walked from a number */

static int on_batch(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_batch b;
    (void)value, (void)n;
    if (key_len != 9)
        return err_set(e, OL_EFORMAT, MODULE, "a damaged key of a batch");
    int rc = outbox_batch(w->outbox, key_read_u64(key + 1), &b, e);
    return rc ? rc : w->row.batch(w->user, &b);
}

int outbox_batches(struct outbox *o, uint64_t first, uint64_t max, int (*row)(void *, const struct outbox_batch *),
                   void *user, struct err *e)
{
    uint8_t from[9] = {'n'};
    struct walk w = {.outbox = o, .row.batch = row, .user = user};
    key_u64(first, from + 1);
    struct db_range range = {CF_BATCHES, from, sizeof from, 1, false, max};
    return outbox_scan(o, &range, on_batch, &w, e);
}

static int on_tx(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    struct outbox_tx t;
    const uint8_t *raw;
    size_t raw_len;
    (void)key, (void)key_len;
    int rc = row_unpack(&outbox_tx_schema, value, n, &t, &raw, &raw_len, e);
    if (rc != 0)
        return rc;
    t.raw = raw;
    t.raw_len = raw_len;
    return w->row.tx(w->user, &t);
}

int outbox_txs(struct outbox *o, uint64_t nonce, int (*row)(void *, const struct outbox_tx *), void *user,
               struct err *e)
{
    uint8_t from[8];
    struct walk w = {.row.tx = row, .user = user};
    key_u64(nonce, from);
    struct db_range range = {CF_TRANSACTIONS, from, sizeof from, 0, false, UINT64_MAX};
    return outbox_scan(o, &range, on_tx, &w, e);
}

/* ---- named values */

static int on_meta(void *user, const uint8_t *key, size_t key_len, const uint8_t *value, size_t n, struct err *e)
{
    const struct walk *w = user;
    char name[OUTBOX_KEY_BYTES];
    if (key_len >= sizeof name)
        return err_set(e, OL_EFORMAT, MODULE, "a name of %zu bytes", key_len);
    memcpy(name, key, key_len);
    name[key_len] = '\0';
    return w->row.meta(w->user, name, value, n);
}

int outbox_metas(struct outbox *o, const char *prefix, int (*row)(void *, const char *, const void *, size_t),
                 void *user, struct err *e)
{
    size_t n = strlen(prefix);
    struct walk w = {.row.meta = row, .user = user};
    struct db_range range = {CF_META, (const uint8_t *)prefix, n, n, false, UINT64_MAX};
    return outbox_scan(o, &range, on_meta, &w, e);
}
