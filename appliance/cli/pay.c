#include "cli/pay.h"

#include "chainlite/core/hex.h"

#include <inttypes.h>
#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MODULE "pay"

enum { MAX_TERMS_BYTES = 16 << 10, TRIES = 3, STATUS_PAYMENT_REQUIRED = 402 };

struct terms { /* what a 402 asks for */
    uint8_t node[ADDRESS_BYTES];
    wei_t amount_wei, ceiling_wei; /* ceiling: 0 while the node does not know who pays */
};

int payer_open(const char *wallet, const char *password_file, const char *chain, const char *max_fee, struct payer *out,
               struct err *e)
{
    char path[WALLET_PATH_BYTES];
    *out = (struct payer){0};
    if (!wei_parse_coin(max_fee, &out->max_fee_wei))
        return err_set(e, OL_EINVAL, MODULE, "--max-fee %s is no amount of coins", max_fee);
    int rc = wallet_path(wallet, path, e);
    if (rc == 0)
        rc = chain_file_load(chain, &out->chain, e);
    if (rc == 0)
        rc = wallet_open(path, password_file, &out->wallet, e);
    if (rc != 0)
        payer_close(out);
    return rc;
}

void payer_close(struct payer *p)
{
    wallet_close(&p->wallet);
    schema_free(&chain_file_schema, &p->chain);
    *p = (struct payer){0};
}

/* ---- what is asked */

static json_t *decode_header(const char *header)
{
    unsigned char text[MAX_TERMS_BYTES];
    size_t n = header ? strlen(header) : 0, len = 0;
    if (n == 0 || n > MAX_TERMS_BYTES ||
        mbedtls_base64_decode(text, sizeof text, &len, (const unsigned char *)header, n) != 0)
        return NULL;
    return json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
}

static bool wei_at(const json_t *o, const char *key, wei_t *out)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text && wei_parse(text, out);
}

/* The offer of our scheme on our chain and Escrow. */
static int read_terms(const struct payer *p, const json_t *required, struct terms *out, struct err *e)
{
    char network[40];
    uint8_t escrow[ADDRESS_BYTES];
    const uint8_t *own = chain_file_contract(&p->chain, "Escrow");
    const json_t *offer;
    size_t i;
    if (!own)
        return err_set(e, OL_EINVAL, MODULE, "no Escrow is known on %s; give a --chain file that names it", p->chain.name);
    snprintf(network, sizeof network, "eip155:%" PRIu64, p->chain.chain_id);
    json_array_foreach(json_object_get(required, "accepts"), i, offer)
    {
        const json_t *extra = json_object_get(offer, "extra");
        const char *scheme = json_string_value(json_object_get(offer, "scheme")),
                   *on = json_string_value(json_object_get(offer, "network")),
                   *to = json_string_value(json_object_get(offer, "payTo")),
                   *contract = json_string_value(json_object_get(extra, "escrow"));
        if (!scheme || strcmp(scheme, "openlora-voucher") != 0 || !on || strcmp(on, network) != 0)
            continue;
        if (!contract || !address_parse(contract, escrow) || memcmp(escrow, own, ADDRESS_BYTES) != 0)
            return err_set(e, OL_EINVAL, MODULE, "the node wants to be paid through another Escrow than %s has",
                           p->chain.name);
        if (!to || !address_parse(to, out->node) || !wei_at(offer, "amount", &out->amount_wei))
            return err_set(e, OL_EFORMAT, MODULE, "the node's offer lacks payTo or amount");
        out->ceiling_wei = 0;
        wei_at(extra, "ceilingNeededWei", &out->ceiling_wei);
        return 0;
    }
    return err_set(e, OL_EUNSUPPORTED, MODULE, "the node takes no vouchers on %s (%s)", p->chain.name, network);
}

/* The ceiling to sign: one request above what earlier vouchers allowed, at most. */
static int choose_ceiling(const struct payer *p, const struct terms *t, wei_t *out, struct err *e)
{
    char asked[WEI_TEXT_BYTES + 2], most[WEI_TEXT_BYTES + 2];
    struct spent spent;
    wei_t limit;
    if (t->amount_wei > p->max_fee_wei) {
        wei_format_coin(t->amount_wei, asked);
        wei_format_coin(p->max_fee_wei, most);
        return err_set(e, OL_EINVAL, MODULE, "this request may cost %s, more than --max-fee %s; ask for fewer tokens or raise it",
                       asked, most);
    }
    int rc = wallet_spent(p->wallet.path, t->node, &spent, e);
    if (rc != 0)
        return rc;
    wei_t allowed = spent.ceiling_wei > spent.cumulative_wei ? spent.ceiling_wei : spent.cumulative_wei;
    if (!wei_add(allowed, t->amount_wei, &limit) || !wei_add(spent.cumulative_wei, t->amount_wei, out))
        return err_set(e, OL_ELIMIT, MODULE, "the node's figures overflow");
    if (t->ceiling_wei > limit) {
        wei_format_coin(t->ceiling_wei, asked);
        wei_format_coin(limit, most);
        return err_set(e, OL_EINVAL, MODULE, "the node asks for a voucher over %s, but by this wallet's record %s is the most "
                       "that can be due; refused", asked, most);
    }
    if (t->ceiling_wei)
        *out = t->ceiling_wei;
    if (*out > spent.ceiling_wei) { /* on disk before it is signed away */
        spent.ceiling_wei = *out;
        rc = wallet_spent_save(p->wallet.path, t->node, &spent, e);
    }
    return rc;
}

/* ---- what is signed */

static json_t *hex_json(const void *bytes, size_t n)
{
    char text[2 * SIGNATURE_BYTES + 3] = "0x";
    hex_encode(bytes, n, text + 2);
    return json_string(text);
}

static char *encode_header(json_t *tree)
{
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0, room = n * 4 / 3 + 8, len = 0;
    char *coded = text ? malloc(room) : NULL;
    if (coded && mbedtls_base64_encode((unsigned char *)coded, room, &len, (const unsigned char *)text, n) != 0) {
        free(coded);
        coded = NULL;
    }
    free(text);
    return coded;
}

static int sign_payment(const struct payer *p, const struct terms *t, wei_t ceiling, const uint8_t body_hash[HASH_BYTES],
                        char **header, struct err *e)
{
    uint8_t salt[32], digest[HASH_BYTES], signature[SIGNATURE_BYTES];
    const uint8_t *settlement = chain_file_contract(&p->chain, "Settlement"),
                  *escrow = chain_file_contract(&p->chain, "Escrow");
    struct voucher v = {.ceiling_wei = ceiling};
    struct domains domains;
    char amount[WEI_TEXT_BYTES];
    if (!settlement || getrandom(salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        return err_set(e, OL_EIO, MODULE, "no Settlement is known on %s, or the system gives no random numbers",
                       p->chain.name);
    memcpy(v.payer, p->wallet.address, ADDRESS_BYTES);
    memcpy(v.node, t->node, ADDRESS_BYTES);
    salted_hash(salt, body_hash, v.request_hash);
    domains_make(p->chain.chain_id, settlement, escrow, &domains);
    voucher_digest(&v, &domains, digest);
    int rc = secp_sign(p->wallet.secp, p->wallet.secret, digest, signature, e);
    if (rc != 0)
        return rc;
    wei_format(ceiling, amount);
    json_t *payment = json_pack("{s:i, s:{s:s}, s:{s:{s:o, s:o, s:s, s:o}, s:o, s:o}}", "x402Version", 2, "accepted",
                                "scheme", "openlora-voucher", "payload", "voucher", "payer",
                                hex_json(v.payer, ADDRESS_BYTES), "node", hex_json(v.node, ADDRESS_BYTES), "ceiling", amount,
                                "request_hash", hex_json(v.request_hash, HASH_BYTES), "salt", hex_json(salt, sizeof salt),
                                "signature", hex_json(signature, SIGNATURE_BYTES));
    *header = encode_header(payment);
    json_decref(payment);
    return *header ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for the payment");
}

/* The header that answers the 402 which the client just got. */
static int answer_terms(struct payer *p, struct http_client *http, const uint8_t body_hash[HASH_BYTES], struct err *e)
{
    struct terms terms;
    wei_t ceiling;
    char *header = NULL;
    json_t *required = decode_header(http_answer_header(http, "PAYMENT-REQUIRED"));
    if (!required)
        return e->code; /* no terms: the node's own message stands */
    int rc = read_terms(p, required, &terms, e);
    if (rc == 0)
        rc = choose_ceiling(p, &terms, &ceiling, e);
    if (rc == 0)
        rc = sign_payment(p, &terms, ceiling, body_hash, &header, e);
    if (rc == 0)
        rc = http_set_header(http, "PAYMENT-SIGNATURE", header, e);
    if (rc == 0)
        memcpy(p->node, terms.node, ADDRESS_BYTES);
    free(header);
    json_decref(required);
    return rc;
}

int pay_stream(struct payer *p, struct http_client *http, const char *path, const json_t *body,
               bool (*on_event)(void *user, const char *data), void *user, const volatile bool *stop, struct err *e)
{
    uint8_t body_hash[HASH_BYTES];
    char *text = json_dumps(body, JSON_COMPACT); /* as the client sends it */
    if (!text)
        return err_set(e, OL_EINVAL, MODULE, "the request is not valid UTF-8");
    keccak256(text, strlen(text), body_hash);
    free(text);
    int rc = 0;
    for (int i = 0; i < TRIES; i++) {
        rc = http_stream(http, path, body, on_event, user, stop, e);
        if (rc == 0 || http_answer_status(http) != STATUS_PAYMENT_REQUIRED)
            break;
        if (i + 1 < TRIES && answer_terms(p, http, body_hash, e) != 0)
            break;
    }
    struct err ignored;
    if (http_set_header(http, "PAYMENT-SIGNATURE", NULL, &ignored) != 0 && rc == 0)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory");
    return rc;
}

/* ---- what it came to */

int pay_settle(struct payer *p, const json_t *usage, struct bill *out, struct err *e)
{
    struct spent spent;
    const json_t *o = json_object_get(usage, "openlora");
    const char *id = json_string_value(json_object_get(o, "receipt_id"));
    *out = (struct bill){0};
    if (!id || !wei_at(o, "fee_wei", &out->fee_wei) ||
        !wei_at(o, "cumulative_wei", &out->cumulative_wei))
        return 0; /* the node does not bill */
    snprintf(out->receipt_id, sizeof out->receipt_id, "%s", id);
    out->known = true;
    int rc = wallet_spent(p->wallet.path, p->node, &spent, e);
    if (rc != 0)
        return rc;
    if (out->cumulative_wei > spent.ceiling_wei)
        return err_set(e, OL_EFORMAT, MODULE, "the node charges more than the voucher allows; receipt %s cannot be settled",
                       out->receipt_id);
    if (out->cumulative_wei > spent.cumulative_wei) {
        spent.cumulative_wei = out->cumulative_wei;
        rc = wallet_spent_save(p->wallet.path, p->node, &spent, e);
    }
    return rc;
}
