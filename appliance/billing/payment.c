/* Headers of payment, both directions. Nothing here knows a node or a request: who calls compares what is said with what
 * is so, and a header that is malformed never gets further. */
#include "billing/payment.h"

#include "chainlite/json/values.h"
#include "chainlite/core/hex.h"

#include <errno.h>
#include <inttypes.h>
#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "payment"

enum { MAX_TIMEOUT_S = 600 };

/* ---- PAYMENT-SIGNATURE */

static json_t *decode(const char *header)
{
    unsigned char text[PAYMENT_HEADER_BYTES];
    size_t n = strlen(header), len = 0;
    if (n > PAYMENT_HEADER_BYTES || mbedtls_base64_decode(text, sizeof text, &len, (const unsigned char *)header, n))
        return NULL;
    return json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
}

static int read_payment(const json_t *j, struct payment *p, struct err *e)
{
    const json_t *payload = json_object_get(j, "payload"), *voucher = json_object_get(payload, "voucher");
    const char *scheme = json_string_value(json_object_get(json_object_get(j, "accepted"), "scheme"));
    if (json_integer_value(json_object_get(j, "x402Version")) != 2)
        return err_set(e, OL_EFORMAT, MODULE, "PAYMENT-SIGNATURE is not of x402Version 2");
    if (!scheme || strcmp(scheme, "openlora-voucher") != 0)
        return err_set(e, OL_EFORMAT, MODULE, "PAYMENT-SIGNATURE does not accept the scheme openlora-voucher");
    if (!hex_from_json(json_object_get(voucher, "payer"), p->voucher.payer, ADDRESS_BYTES) ||
        !hex_from_json(json_object_get(voucher, "node"), p->voucher.node, ADDRESS_BYTES) ||
        !wei_from_json(json_object_get(voucher, "ceiling"), &p->voucher.ceiling_wei) ||
        !hex_from_json(json_object_get(voucher, "request_hash"), p->voucher.request_hash, HASH_BYTES))
        return err_set(e, OL_EFORMAT, MODULE, "PAYMENT-SIGNATURE's payload.voucher needs payer, node, ceiling (decimal "
                       "text) and request_hash");
    if (!hex_from_json(json_object_get(payload, "salt"), p->salt, sizeof p->salt) ||
        !hex_from_json(json_object_get(payload, "signature"), p->signature, sizeof p->signature))
        return err_set(e, OL_EFORMAT, MODULE, "PAYMENT-SIGNATURE's payload needs salt and signature");
    return 0;
}

int payment_parse(const char *header, struct payment *out, struct err *e)
{
    json_t *j = decode(header);
    *out = (struct payment){0};
    int rc = j ? read_payment(j, out, e)
               : err_set(e, OL_EFORMAT, MODULE, "PAYMENT-SIGNATURE is not the base64 of a JSON object");
    json_decref(j);
    return rc;
}

/* ---- what we say */

static json_t *known_wei(bool known, wei_t wei) { return known ? wei_to_json(wei) : json_null(); }

static json_t *network_json(const struct catalog *c)
{
    char text[40];
    snprintf(text, sizeof text, "eip155:%" PRIu64, c->served.chain_id);
    return json_string(text);
}

static json_t *address_json(const uint8_t address[ADDRESS_BYTES])
{
    char text[ADDRESS_TEXT_BYTES];
    address_format(address, text);
    return json_string(text);
}

json_t *payment_terms_json(const struct payment_terms *t, const struct catalog *c)
{
    static const uint8_t coin[ADDRESS_BYTES]; /* the chain's own coin has no contract */
    json_t *extra =
        json_pack("{so so so so so so ss ss}", "escrow", address_json(c->escrow), "settlement",
                  address_json(c->settlement), "cumulativeWei", known_wei(t->known, t->cumulative_wei),
                  "ceilingNeededWei", known_wei(t->known, t->ceiling_needed_wei), "availableWei",
                  known_wei(t->has_available, t->available_wei), "priceId", hex_to_json(t->price_id, 32), "name",
                  "OpenLoRA Escrow", "version", "1");
    json_t *accept = json_pack("{ss so so so so si so}", "scheme", "openlora-voucher", "network", network_json(c),
                               "amount", wei_to_json(t->max_fee_wei), "asset", address_json(coin), "payTo",
                               address_json(c->served.node), "maxTimeoutSeconds", MAX_TIMEOUT_S, "extra", extra);
    return json_pack("{si ss s{ss} s[o]}", "x402Version", 2, "error", t->error, "resource", "url", t->resource,
                     "accepts", accept);
}

json_t *payment_response_json(const struct catalog *c, const uint8_t payer[ADDRESS_BYTES], wei_t amount_wei,
                              const uint8_t receipt_id[32])
{
    return json_pack("{sb so ss so so s{s{so}}}", "success", 1, "payer", address_json(payer), "transaction", "",
                     "network", network_json(c), "amount", wei_to_json(amount_wei), "extensions", "openlora", "receipt_id",
                     hex_to_json(receipt_id, 32));
}

void payment_header(json_t *tree, struct buf *out)
{
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0, room = n * 4 / 3 + 8, len = 0;
    unsigned char *coded = text ? malloc(room) : NULL;
    if (coded && mbedtls_base64_encode(coded, room, &len, (const unsigned char *)text, n) == 0)
        buf_add(out, coded, len);
    else
        out->failed = true;
    free(coded);
    free(text);
    json_decref(tree);
}

/* ---- OpenLoRA-Wallet */

/* Splits "a:b:c" without copying; false unless there are exactly three parts, the first two of bounded length. */
static bool split(const char *header, char address[ADDRESS_TEXT_BYTES], char time[21], const char **signature)
{
    const char *first = strchr(header, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (!second || first - header >= ADDRESS_TEXT_BYTES || second - first - 1 > 20 || strchr(second + 1, ':'))
        return false;
    snprintf(address, ADDRESS_TEXT_BYTES, "%.*s", (int)(first - header), header);
    snprintf(time, 21, "%.*s", (int)(second - first - 1), first + 1);
    *signature = second + 1;
    return true;
}

static void message_digest(const char *path, const char *time, uint8_t out[HASH_BYTES])
{
    static const char head[] = "OpenLoRA wallet\n";
    char prefix[64];
    struct keccak k;
    int n = snprintf(prefix, sizeof prefix, "\x19"
                     "Ethereum Signed Message:\n%zu", sizeof head - 1 + strlen(path) + 1 + strlen(time));
    keccak_init(&k);
    keccak_add(&k, prefix, (size_t)n);
    keccak_add(&k, head, sizeof head - 1);
    keccak_add(&k, path, strlen(path));
    keccak_add(&k, "\n", 1);
    keccak_add(&k, time, strlen(time));
    keccak_end(&k, out);
}

int wallet_check(const struct secp *secp, const char *header, const char *path, int64_t now_s,
                 uint8_t out[ADDRESS_BYTES], struct err *e)
{
    char address[ADDRESS_TEXT_BYTES], time[21], *end;
    const char *signature;
    uint8_t bytes[SIGNATURE_BYTES], digest[HASH_BYTES];
    if (!split(header, address, time, &signature) || !address_parse(address, out) ||
        !hex_decode(signature, bytes, sizeof bytes))
        return err_set(e, OL_EFORMAT, MODULE, "OpenLoRA-Wallet must be <address>:<unix time>:<signature>");
    errno = 0;
    long long then = strtoll(time, &end, 10);
    if (errno || *end || time[0] < '0' || time[0] > '9')
        return err_set(e, OL_EFORMAT, MODULE, "OpenLoRA-Wallet's time is no number of seconds");
    if (then < now_s - WALLET_SKEW_S || then > now_s + WALLET_SKEW_S)
        return err_set(e, OL_EFORMAT, MODULE, "OpenLoRA-Wallet was signed %lld s from this node's time; at most %d",
                       (long long)(now_s - then), WALLET_SKEW_S);
    message_digest(path, time, digest);
    return signature_check(secp, digest, bytes, out, "OpenLoRA-Wallet", e);
}
