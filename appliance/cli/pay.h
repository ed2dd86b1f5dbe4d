/* Paying for a request with a wallet's voucher: x402 version 2 with the scheme "openlora-voucher" (docs/protocol.md).
 *
 *   POST ──402, what it costs at most──► voucher for that much more ──POST──► answer, with its receipt
 *
 * What is signed never allows more than one request beyond what earlier vouchers allowed: a node that asks for more is
 * refused. Chain and Escrow come from our own data file, never from the node. */
#ifndef OPENLORA_CLI_PAY_H
#define OPENLORA_CLI_PAY_H

#include "chainlite/json/chain_file.h"
#include "cli/http_client.h"
#include "cli/wallet_file.h"

struct payer {
    struct wallet wallet;
    struct chain_file chain;
    wei_t max_fee_wei; /* most that one request may cost */
    uint8_t node[ADDRESS_BYTES]; /* who was last signed a voucher for */
};

struct bill { /* of the last request; from the node, checked against what was signed */
    bool known;
    char receipt_id[67];
    wei_t fee_wei, cumulative_wei;
};

int payer_open(const char *wallet, const char *password_file, const char *chain, const char *max_fee, struct payer *out,
               struct err *) __attribute__((warn_unused_result));
void payer_close(struct payer *);

/* http_stream with a payment. The body must not change meanwhile. */
int pay_stream(struct payer *, struct http_client *, const char *path, const json_t *body,
               bool (*on_event)(void *user, const char *data), void *user, const volatile bool *stop, struct err *)
    __attribute__((warn_unused_result));

/* Reads "usage": {"openlora": …} of the answer, and remembers what is due now. OL_EFORMAT: the node charged more than
 * the voucher allows. */
int pay_settle(struct payer *, const json_t *usage, struct bill *out, struct err *) __attribute__((warn_unused_result));

#endif
