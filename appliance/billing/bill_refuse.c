/* Saying no, with what is missing. */
#include "billing/bill_internal.h"

#include "chainlite/json/values.h"
#include "chainlite/core/hex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int refuse(struct refusal *r, int status, const char *code, const char *param, const char *format, ...)
{
    va_list ap;
    *r = (struct refusal){.status = status, .code = code, .param = param};
    r->terms.error = code;
    va_start(ap, format);
    vsnprintf(r->message, sizeof r->message, format, ap);
    va_end(ap);
    return -1;
}

void refuse_unavailable(struct billing *b, struct refusal *r, const struct err *why)
{
    atomic_fetch_add(&b->counters.unavailable, 1);
    if (why->code == OL_EBUSY)
        refuse(r, 429, "overloaded", NULL, "%s; try again", why->message);
    else if (why->code == OL_ECANCELLED)
        refuse(r, 503, "shutting_down", NULL, "%s", why->message);
    else
        refuse(r, 503, "billing_unavailable", NULL, "this node cannot bill now, and serves nobody unbilled: %s",
               why->message);
}

static const struct told {
    const char *code;
    int status;
} told[] = {
    {"voucher_required", 402}, {"voucher_invalid", 402}, {"voucher_too_small", 402}, {"escrow_too_small", 402},
    {"payer_thawing", 402},    {"spend_limit", 402},     {"not_priced", 503},        {"not_registered", 503},
    {"clock_skew", 503},       {"chain_stale", 503},     {"epoch_closed", 503},      {"disk_full", 503},
    {"duplicate", 503},
};

static bool amount(const json_t *result, const char *name, wei_t *out)
{
    return wei_from_json(json_object_get(result, name), out);
}

void refuse_as_told(struct bill *b, const json_t *result, struct refusal *r)
{
    const char *code = json_string_value(json_object_get(result, "code"));
    const char *message = json_string_value(json_object_get(result, "message"));
    const struct told *t = NULL;
    for (size_t i = 0; code && i < sizeof told / sizeof *told && !t; i++)
        t = strcmp(code, told[i].code) == 0 ? &told[i] : NULL;
    refuse(r, t ? t->status : 503, t ? t->code : "billing_unavailable", NULL, "%s",
           message ? message : "chainlited refused this request without a reason");
    if (!t || t->status != 402)
        return;
    atomic_fetch_add(&b->billing->counters.payment_required, 1);
    struct payment_terms *terms = &r->terms;
    r->payment = true;
    terms->resource = b->resource;
    terms->max_fee_wei = b->max_fee_wei;
    (void)amount(result, "needed_wei", &terms->max_fee_wei);
    memcpy(terms->price_id, b->price.id, 32);
    terms->known = amount(result, "cumulative_wei", &terms->cumulative_wei) &&
                   amount(result, "ceiling_needed_wei", &terms->ceiling_needed_wei);
    terms->has_available = amount(result, "available_wei", &terms->available_wei);
}

int payer_check(struct billing *billing, const struct payment *p, const uint8_t body_hash[32], struct caller *c,
                struct refusal *r)
{
    uint8_t hash[32], signer[ADDRESS_BYTES];
    struct err e;
    struct catalog *catalog = billing_catalog(billing);
    if (!catalog) {
        (void)billing_reachable(billing, &e);
        refuse_unavailable(billing, r, &e);
        return -1;
    }
    salted_hash(p->salt, body_hash, hash);
    int rc = 0;
    if (memcmp(hash, p->voucher.request_hash, 32) != 0)
        rc = refuse(r, 400, "payment_mismatch", NULL, "the voucher's request_hash is not "
                    "keccak256(salt || keccak256(body)) of this request");
    else if (memcmp(p->voucher.node, catalog->served.node, ADDRESS_BYTES) != 0)
        rc = refuse(r, 400, "payment_mismatch", NULL, "the voucher is for another node; PAYMENT-REQUIRED's payTo says "
                    "for which it must be");
    if (rc == 0) {
        voucher_digest(&p->voucher, &catalog->domains, hash);
        if (secp_recover(billing->secp, hash, p->signature, signer, &e) != 0)
            rc = refuse(r, 400, "voucher_invalid", NULL, "the voucher's signature is no signature: %s", e.message);
    }
    catalog_release(catalog);
    if (rc != 0)
        return rc;
    /* Whether the signer may sign for the payer is chainlited's to know; whose answers it may see again is not. */
    c->kind = CALLER_WALLET;
    c->payment = *p;
    memcpy(c->wallet, p->voucher.payer, ADDRESS_BYTES);
    memcpy(c->tenant, "0x", 3);
    hex_encode(signer, ADDRESS_BYTES, c->tenant + 2);
    return 0;
}
