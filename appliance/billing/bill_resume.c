/* Receipts that are asked for again: of a kept answer whose client came back, and of answers that were delivered while
 * chainlited was away. Salts, hashes and sums are on disk since the first time. */
#include "billing/bill_internal.h"

#include "base/log.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/values.h"

#include <stdlib.h>
#include <string.h>

/* NULL without memory or before chainlited was ever there. */
static struct bill *again(struct billing *billing)
{
    struct catalog *catalog = billing_catalog(billing);
    struct bill *b = catalog ? calloc(1, sizeof *b) : NULL;
    if (!b) {
        catalog_release(catalog);
        return NULL;
    }
    b->billing = billing;
    b->catalog = catalog;
    b->resumed = b->on_disk = true;
    return b;
}

/* ---- a kept answer without an outcome */

struct resumption {
    struct bill *bill;
    bill_done done;
    void *user;
};

static void on_resumed(void *user, const struct refusal *refused)
{
    struct resumption *s = user;
    struct bill *b = s->bill;
    if (!refused)
        buf_add_str(&b->kept->outcome, b->outcome);
    bill_done done = s->done;
    void *to = s->user;
    bill_close(b);
    free(s);
    done(to, refused);
}

int bill_resume(struct billing *billing, struct kept_answer *kept, bill_done done, void *user, struct refusal *r)
{
    struct err e;
    struct bill *b = again(billing);
    struct resumption *s = calloc(1, sizeof *s);
    if (!b || !s || !hex_from_json(json_object_get(kept->answer, "receipt_id"), b->receipt_id, 32)) {
        bill_close(b);
        free(s);
        return refuse(r, 503, "billing_unavailable", NULL, "the receipt of this answer cannot be asked for now; try "
                      "again");
    }
    *s = (struct resumption){b, done, user};
    b->kept = kept;
    b->done = on_resumed;
    b->user = s;
    if (chain_record(billing->chain, json_deep_copy(json_object_get(kept->answer, "record")), bill_on_recorded, b, &e) == 0)
        return 0;
    refuse_unavailable(billing, r, &e);
    bill_close(b);
    free(s);
    return -1;
}

/* ---- what was delivered unrecorded */

static void on_handed_in(void *user, const struct refusal *refused)
{
    struct bill *b = user;
    char id[67] = "0x";
    hex_encode(b->receipt_id, 32, id + 2);
    if (!refused)
        log_line(LOG_INFO, "billing", "the receipt %s was handed in late and is signed", id);
    else if (arrears_hold(b->billing->ledger, b->receipt_id))
        log_line(LOG_INFO, "billing", "the receipt %s waits on: %s", id, refused->message);
    else
        log_line(LOG_ERROR, "billing", "the receipt %s came too late, its answer stays unbilled: %s", id, refused->message);
    bill_close(b);
}

static bool hand_in(struct billing *billing, const struct arrear *x)
{
    struct err e;
    struct bill *b = again(billing);
    if (!b) {
        json_decref(x->record);
        return false;
    }
    memcpy(b->receipt_id, x->receipt_id, sizeof b->receipt_id);
    memcpy(b->caller.key.id, x->key_id, sizeof x->key_id);
    b->caller.kind = x->key_id[0] ? CALLER_KEY : CALLER_ANONYMOUS;
    b->fee_wei = x->fee_wei;
    b->owed = true;
    b->done = on_handed_in;
    b->user = b;
    if (chain_record(billing->chain, x->record, bill_on_recorded, b, &e) == 0)
        return true;
    bill_close(b);
    return false;
}

void bill_hand_in(struct billing *billing)
{
    struct arrear x;
    /* As many as there are now: one that fails at once waits for the next round. */
    for (size_t n = arrears_count(billing->arrears); n > 0 && arrears_take(billing->arrears, &x); n--)
        if (!hand_in(billing, &x)) {
            arrears_wait(billing->arrears, x.receipt_id);
            return;
        }
}
