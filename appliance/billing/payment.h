/* Payment in headers: x402 version 2 with the scheme "openlora-voucher", and proof of a wallet for reading.
 *
 *   PAYMENT-REQUIRED    base64 of {"x402Version":2,"error","resource":{"url"},"accepts":[{"scheme","network","amount",
 *                       "asset","payTo","maxTimeoutSeconds","extra":{…}}]}
 *   PAYMENT-SIGNATURE   base64 of {"x402Version":2,"accepted":{…},"payload":{"voucher":{"payer","node","ceiling",
 *                       "request_hash"},"salt","signature"}}
 *   PAYMENT-RESPONSE    base64 of {"success","payer","transaction":"","network","amount","extensions":{…}}
 *   OpenLoRA-Wallet     <address>:<unix time>:<signature> of the EIP-191 message "OpenLoRA wallet\n<path>\n<unix time>"
 *
 * Pure but for allocation. */
#ifndef OPENLORA_BILLING_PAYMENT_H
#define OPENLORA_BILLING_PAYMENT_H

#include "base/buf.h"
#include "billing/catalog.h"

#include <stdbool.h>
#include <stdint.h>

enum { PAYMENT_HEADER_BYTES = 8192, WALLET_SKEW_S = 300 };

struct payment { /* what PAYMENT-SIGNATURE says */
    struct voucher voucher;
    uint8_t signature[SIGNATURE_BYTES];
    uint8_t salt[32];
};

/* OL_EFORMAT: not what it should be. Nothing is checked against this node or request yet. */
int payment_parse(const char *header, struct payment *out, struct err *) __attribute__((warn_unused_result));

struct payment_terms { /* what a 402 asks for */
    const char *error;       /* a code of docs/protocol.md §9 */
    const char *resource;    /* path */
    wei_t max_fee_wei;
    uint8_t price_id[32];
    bool known;              /* whether the payer, and so what he owes, is known */
    wei_t cumulative_wei, ceiling_needed_wei;
    bool has_available;
    wei_t available_wei;     /* in the escrow, or of a key's limit */
};
json_t *payment_terms_json(const struct payment_terms *, const struct catalog *); /* PaymentRequired; NULL: no memory */
/* PAYMENT-RESPONSE; amount: what is paid at most, or what was paid. */
json_t *payment_response_json(const struct catalog *, const uint8_t payer[ADDRESS_BYTES], wei_t amount_wei,
                              const uint8_t receipt_id[32]);
/* Appends the base64 of the JSON text; takes the tree. */
void payment_header(json_t *, struct buf *out);

/* The wallet that signed for this path within WALLET_SKEW_S of now. OL_EFORMAT: malformed, stale or somebody else's. */
int wallet_check(const struct secp *, const char *header, const char *path, int64_t now_s, uint8_t out[ADDRESS_BYTES],
                 struct err *) __attribute__((warn_unused_result));

#endif
