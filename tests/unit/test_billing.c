/* The parts of billing that need no chainlited: headers against another implementation's signatures (eth_account), what
 * counts as delivered, the ledger, sums of keys, idempotency, the catalog's prices. */
#include "billing/bill.h"
#include "billing/delivery.h"

#include "chainlite/core/hex.h"

#include <check.h>
#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYER "0x1563915e194D8CfBA1943570603F7606A3115508"
/* eth_account: key 0x22…22, encode_defunct("OpenLoRA wallet\n/v1/receipts\n1760000000") */
#define WALLET_SIGNATURE                                                                                               \
    "1d3f10af1aa526e087919f2c7b340426202276362d17c78dbd5f2eeb16257da00061c392b20a5f7784c06316cbf3eae6db4113e766128e65" \
    "c0fc7c15b0e676981b"
enum { SIGNED_AT = 1760000000 };
/* eth_account: the same key's voucher over 12345 for node 0x11…11 on chain 31337, Escrow 0xb2…b2, for this body */
#define BODY "{\"prompt\":\"hi\"}"
#define PAYMENT                                                                                                        \
    "eyJ4NDAyVmVyc2lvbiI6IDIsICJhY2NlcHRlZCI6IHsic2NoZW1lIjogIm9wZW5sb3JhLXZvdWNoZXIifSwgInBheWxvYWQiOiB7InZvdWNoZXI" \
    "iOiB7InBheWVyIjogIjB4MTU2MzkxNWUxOTRkOGNmYmExOTQzNTcwNjAzZjc2MDZhMzExNTUwOCIsICJub2RlIjogIjB4MTExMTExMTExMTExMT" \
    "ExMTExMTExMTExMTExMTExMTExMTExMTExMSIsICJjZWlsaW5nIjogIjEyMzQ1IiwgInJlcXVlc3RfaGFzaCI6ICIweGEyNTgwOWFjODFmMjFhN" \
    "jVmNzBiODA0YmVlZjMyZjA5ZTkyMmI0MDQwMGM3MTRjM2Y4ZDM5OGJhNDQyNmQ0NTIifSwgInNhbHQiOiAiMHgwNzA3MDcwNzA3MDcwNzA3MDcw" \
    "NzA3MDcwNzA3MDcwNzA3MDcwNzA3MDcwNzA3MDcwNzA3MDcwNzA3MDcwNzA3IiwgInNpZ25hdHVyZSI6ICIweGZhOGFjNmJjODg5YTE5NGM0NmQ" \
    "xMzRmZDczOWUzNDkwYjZkOGMyY2NjNzgyZDA2MzBjNDU3M2M0ZGEyNDdkYzY2NDRlNzI3OTgxZWE4YzAwYTdkNzM5YzIzNzVkMzQ4MzM1YjU2ZD" \
    "BmOWZiNGFjZDA2YWI5MDMwZWQ3NGNjMWQxMWMifX0="

static struct secp *secp;
static char folder[] = "/tmp/openlora-billing-XXXXXX";
static struct billing billing; /* only its parts that need no chainlited */

static void setup(void)
{
    static const uint8_t seed[32] = {1};
    char path[64];
    struct err e;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/ledger", folder);
    secp = secp_open(seed);
    billing = (struct billing){.config = {.idempotency_s = 100, .kept_bytes = 1 << 30}};
    ck_assert_msg(ledger_open(path, &billing.ledger, &e) == 0, "%s", e.message);
    ck_assert_int_eq(spend_open(billing.ledger, &billing.spend, &e), 0);
    ck_assert_int_eq(idempotency_open(&billing, &billing.idempotency, &e), 0);
}

static void teardown(void)
{
    char command[96];
    idempotency_close(billing.idempotency);
    spend_close(billing.spend);
    ledger_close(billing.ledger);
    secp_close(secp);
    snprintf(command, sizeof command, "rm -r %s", folder);
    FILE *rm = popen(command, "r");
    ck_assert_int_eq(pclose(rm), 0);
}

/* ---- headers */

START_TEST(test_wallet_header)
{
    static const char good[] = PAYER ":1760000000:" WALLET_SIGNATURE;
    static const char *const bad[] = {
        "", PAYER, PAYER ":1760000000", PAYER ":1760000000:" WALLET_SIGNATURE ":", PAYER ":1760000000:00",
        PAYER ":1760000001:" WALLET_SIGNATURE, "0x1111111111111111111111111111111111111111:1760000000:" WALLET_SIGNATURE,
        PAYER ":-1760000000:" WALLET_SIGNATURE, PAYER ":176000000099999999999:" WALLET_SIGNATURE};
    uint8_t address[ADDRESS_BYTES];
    char text[ADDRESS_TEXT_BYTES];
    struct err e;
    for (int skew = -WALLET_SKEW_S; skew <= WALLET_SKEW_S; skew += WALLET_SKEW_S)
        ck_assert_msg(wallet_check(secp, good, "/v1/receipts", SIGNED_AT + skew, address, &e) == 0, "%s", e.message);
    address_format(address, text);
    ck_assert_str_eq(text, PAYER);
    ck_assert_int_ne(wallet_check(secp, good, "/v1/statement", SIGNED_AT, address, &e), 0); /* another path */
    ck_assert_int_ne(wallet_check(secp, good, "/v1/receipts", SIGNED_AT + WALLET_SKEW_S + 1, address, &e), 0);
    ck_assert_int_ne(wallet_check(secp, good, "/v1/receipts", SIGNED_AT - WALLET_SKEW_S - 1, address, &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(wallet_check(secp, bad[i], "/v1/receipts", SIGNED_AT, address, &e) != 0, "%s was taken", bad[i]);
}
END_TEST

START_TEST(test_payment_header)
{
    struct payment p;
    struct err e;
    struct domains domains;
    uint8_t settlement[20] = {0}, escrow[20], hash[32], body[32], signer[ADDRESS_BYTES];
    char text[ADDRESS_TEXT_BYTES];
    ck_assert_msg(payment_parse(PAYMENT, &p, &e) == 0, "%s", e.message);
    ck_assert(p.voucher.ceiling_wei == 12345 && p.salt[0] == 7 && p.voucher.node[0] == 0x11);
    keccak256(BODY, strlen(BODY), body);
    salted_hash(p.salt, body, hash);
    ck_assert_mem_eq(hash, p.voucher.request_hash, 32);
    memset(escrow, 0xb2, sizeof escrow);
    domains_make(31337, settlement, escrow, &domains);
    voucher_digest(&p.voucher, &domains, hash);
    ck_assert_int_eq(secp_recover(secp, hash, p.signature, signer, &e), 0);
    address_format(signer, text);
    ck_assert_str_eq(text, PAYER);
    ck_assert_int_ne(payment_parse("", &p, &e), 0);
    ck_assert_int_ne(payment_parse("!!!!", &p, &e), 0);
    ck_assert_int_ne(payment_parse("e30=", &p, &e), 0);     /* {} */
    ck_assert_int_ne(payment_parse("bnVsbA==", &p, &e), 0); /* null */
}
END_TEST

static json_t *decode(const struct buf *header)
{
    unsigned char text[4096];
    size_t n;
    ck_assert_int_eq(mbedtls_base64_decode(text, sizeof text, &n, (unsigned char *)header->data, header->len), 0);
    json_t *j = json_loadb((char *)text, n, 0, NULL);
    ck_assert_ptr_nonnull(j);
    return j;
}

START_TEST(test_terms)
{
    const uint8_t contract[ADDRESS_BYTES] = {0x22};
    struct catalog c = {.served.chain_id = 1612, .settlement = contract, .escrow = contract};
    struct payment_terms t = {.error = "voucher_too_small", .resource = "/v1/completions", .max_fee_wei = 10,
                              .known = true, .cumulative_wei = 7, .ceiling_needed_wei = 17};
    struct buf header;
    int version = 0, timeout = 0;
    const char *scheme, *network, *amount, *asset, *to, *needed, *owed, *name;
    json_t *available;
    memset(c.served.node, 0x11, sizeof c.served.node);
    buf_init(&header, PAYMENT_HEADER_BYTES);
    payment_header(payment_terms_json(&t, &c), &header);
    json_t *j = decode(&header);
    ck_assert_int_eq(
        json_unpack(j, "{si s[{ss ss ss ss ss si s{ss ss so ss}}]}", "x402Version", &version, "accepts", "scheme", &scheme,
                    "network", &network, "amount", &amount, "asset", &asset, "payTo", &to, "maxTimeoutSeconds", &timeout,
                    "extra", "ceilingNeededWei", &needed, "cumulativeWei", &owed, "availableWei", &available, "name",
                    &name), 0);
    ck_assert_int_eq(version, 2);
    ck_assert_str_eq(scheme, "openlora-voucher");
    ck_assert_str_eq(network, "eip155:1612");
    ck_assert_str_eq(amount, "10");
    ck_assert_str_eq(to, "0x1111111111111111111111111111111111111111");
    ck_assert_str_eq(needed, "17");
    ck_assert_str_eq(owed, "7");
    ck_assert_str_eq(name, "OpenLoRA Escrow");
    ck_assert(json_is_null(available));
    json_decref(j);
    buf_deinit(&header);
}
END_TEST

/* ---- delivery */

START_TEST(test_delivery)
{
    struct delivery d;
    uint8_t hashes[2 * HASH_BYTES], want[HASH_BYTES];
    ck_assert(delivery_init(&d, 2, true));
    for (int i = 0; i < 1000; i++) { /* events of 10 bytes, alternating; every second token without text */
        int choice = i % 2;
        delivery_token(&d, choice, 7, -1.0f);
        delivery_token(&d, choice, 8, -0.5f);
        delivery_text(&d, choice, choice ? "b" : "aa", choice ? 1 : 2);
        delivery_event(&d, choice, (size_t)(i + 1) * 10);
        delivery_accept(&d, (size_t)i * 7); /* the socket falls behind */
    }
    ck_assert_uint_eq(d.tokens, 2 * (999 * 7 / 10));
    delivery_accept(&d, 7999); /* one byte short of event 800 */
    ck_assert_uint_eq(d.tokens, 2 * 799);
    ck_assert(d.sum_logprob == -1.5 * 799);
    delivery_hashes(&d, hashes);
    char text[2000];
    memset(text, 'a', 800);
    keccak256(text, 800, want); /* 400 events of choice 0 */
    ck_assert_mem_eq(hashes, want, HASH_BYTES);
    memset(text, 'b', 399);
    keccak256(text, 399, want);
    ck_assert_mem_eq(hashes + HASH_BYTES, want, HASH_BYTES);
    delivery_accept(&d, 8000);
    ck_assert_uint_eq(d.tokens, 2 * 800);
    ck_assert_uint_eq(d.choices[0].tokens, 800);
    ck_assert_uint_eq(d.choices[1].tokens, 800);
    ck_assert_uint_eq(d.choices[0].n_ids, 1000); /* delivered or not */
    ck_assert(d.choices[1].ids[0] == 7 && d.choices[1].ids[799] == 8);
    ck_assert(!d.failed);
    delivery_deinit(&d);
}
END_TEST

/* ---- ledger and what stands on it */

static void count_gone(void *user, const char *answer, size_t n)
{
    ck_assert(n == 3 && memcmp(answer, "{1}", 3) == 0);
    ++*(int *)user;
}

static int get(enum ledger_table t, const uint8_t *key)
{
    struct buf b;
    struct err e;
    buf_init(&b, 1000);
    int rc = ledger_get(billing.ledger, t, key, &b, &e);
    int n = (int)b.len;
    buf_deinit(&b);
    return rc == 0 ? n : rc;
}

START_TEST(test_ledger_sweep)
{
    static const uint8_t settled[32] = {1}, unsettled[32] = {2}, later[32] = {3};
    struct err e;
    int gone = 0;
    struct ledger_write *w = ledger_begin(billing.ledger);
    ledger_put(w, LEDGER_ANSWER, settled, "{0}", 3);
    ledger_put(w, LEDGER_BEFORE, settled, "x", 1);
    ledger_put(w, LEDGER_AFTER, settled, "", 0);
    ledger_put(w, LEDGER_OUTCOME, settled, "o", 1);
    ledger_expire(w, LEDGER_ANSWER, settled, 1000);
    ledger_put(w, LEDGER_ANSWER, unsettled, "{1}", 3);
    ledger_expire(w, LEDGER_ANSWER, unsettled, 1001);
    ledger_put(w, LEDGER_RECEIPT, later, "{2}", 3);
    ledger_expire(w, LEDGER_RECEIPT, later, 1003);
    ck_assert_int_eq(ledger_commit(w, true, &e), 0);
    ck_assert_int_eq(ledger_sweep(billing.ledger, 999, 10, count_gone, &gone, &e), 0);
    ck_assert_int_eq(get(LEDGER_AFTER, settled), 0);
    ck_assert_int_eq(ledger_sweep(billing.ledger, 1002, 1, count_gone, &gone, &e), 1);
    ck_assert_int_eq(get(LEDGER_BEFORE, settled), OL_ENOTFOUND);
    ck_assert_int_eq(get(LEDGER_ANSWER, unsettled), 3);
    ck_assert_int_eq(ledger_sweep(billing.ledger, 1002, 10, count_gone, &gone, &e), 1);
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(get(LEDGER_RECEIPT, later), 3);
    ck_assert_int_eq(ledger_sweep(billing.ledger, 1003, 10, count_gone, &gone, &e), 1);
    ck_assert_int_eq(get(LEDGER_RECEIPT, later), OL_ENOTFOUND);
}
END_TEST

static void owe(uint8_t id, struct arrears *a)
{
    struct arrear x = {.receipt_id = {id}, .record = json_pack("{si}", "n", id), .key_id = "k-1", .fee_wei = id};
    struct ledger_write *w = ledger_begin(billing.ledger);
    arrears_put(w, &x);
    ck_assert_int_eq(ledger_commit(w, true, NULL), 0);
    json_decref(x.record);
    if (a)
        arrears_wait(a, x.receipt_id);
}

/* What waits is taken once, waits again or is settled, and all that is not settled is there after a restart. */
START_TEST(test_arrears)
{
    struct arrears *a;
    struct arrear x[3], none;
    struct err e;
    ck_assert_int_eq(arrears_open(billing.ledger, &a, &e), 0);
    ck_assert_uint_eq(arrears_count(a), 0);
    for (uint8_t id = 1; id <= 3; id++)
        owe(id, a);
    owe(4, NULL); /* its record is under way when the process dies */
    for (int i = 0; i < 3; i++) {
        ck_assert(arrears_take(a, &x[i]));
        ck_assert_uint_eq(x[i].receipt_id[0], i + 1);
        ck_assert_int_eq(json_integer_value(json_object_get(x[i].record, "n")), i + 1);
        ck_assert_str_eq(x[i].key_id, "k-1");
        ck_assert(x[i].fee_wei == (wei_t)i + 1);
        json_decref(x[i].record);
    }
    ck_assert(!arrears_take(a, &none));
    ck_assert_uint_eq(arrears_count(a), 3); /* taken ones count */
    arrears_settle(a, x[0].receipt_id);
    arrears_wait(a, x[1].receipt_id);
    ck_assert_uint_eq(arrears_count(a), 2);
    ck_assert(!arrears_hold(billing.ledger, x[0].receipt_id) && arrears_hold(billing.ledger, x[1].receipt_id));
    ck_assert(arrears_take(a, &none) && none.receipt_id[0] == 2);
    json_decref(none.record);
    arrears_close(a);
    struct ledger_write *w = ledger_begin(billing.ledger); /* one that is not what was written */
    ledger_put(w, LEDGER_ARREARS, x[1].receipt_id, "{", 1);
    ck_assert_int_eq(ledger_commit(w, true, &e), 0);
    ck_assert_int_eq(arrears_open(billing.ledger, &a, &e), 0);
    ck_assert_uint_eq(arrears_count(a), 3);
    for (int i = 3; i <= 4; i++) {
        ck_assert(arrears_take(a, &none) && none.receipt_id[0] == i);
        json_decref(none.record);
    }
    ck_assert_uint_eq(arrears_count(a), 2);
    arrears_close(a);
}
END_TEST

START_TEST(test_spend)
{
    const struct key k = {.id = "k-1", .has_total = true, .total_wei = 100, .has_day = true, .day_wei = 60};
    const int64_t day1 = 86400 * 5, day2 = day1 + 86400;
    struct err e;
    wei_t left;
    struct ledger_write *w;
    ck_assert_int_eq(spend_reserve(billing.spend, &k, 50, day1, &left, &e), 0);
    ck_assert_int_eq(spend_reserve(billing.spend, &k, 20, day1, &left, &e), OL_ELIMIT); /* what is reserved counts */
    ck_assert(left == 10);
    w = ledger_begin(billing.ledger);
    spend_record(billing.spend, "k-1", 50, 30, day1, w);
    ck_assert_int_eq(ledger_commit(w, true, &e), 0);
    ck_assert_int_eq(spend_reserve(billing.spend, &k, 31, day1, &left, &e), OL_ELIMIT);
    ck_assert_int_eq(spend_reserve(billing.spend, &k, 30, day1, &left, &e), 0);
    spend_release(billing.spend, "k-1", 30);
    ck_assert_int_eq(spend_reserve(billing.spend, &k, 60, day2, &left, &e), 0); /* another day, the same total */
    spend_release(billing.spend, "k-1", 60);
    spend_close(billing.spend); /* a restart */
    ck_assert_int_eq(spend_open(billing.ledger, &billing.spend, &e), 0);
    struct spend_sums sums = spend_sums(billing.spend, "k-1", day1);
    ck_assert(sums.total_wei == 30 && sums.day_wei == 30 && sums.reserved_wei == 0);
    ck_assert(spend_sums(billing.spend, "k-1", day2).day_wei == 0);
    spend_refund(billing.spend, "k-1", 30, day2);
    ck_assert(spend_sums(billing.spend, "k-1", day2).total_wei == 0);
}
END_TEST

static enum idempotency_state begin(const char *tenant, const char *key, uint8_t body, struct idempotency_ticket **t,
                                    struct kept_answer *kept)
{
    uint8_t request[32] = {body};
    struct err e;
    return idempotency_begin(billing.idempotency, tenant, key, request, t, kept, &e);
}

START_TEST(test_idempotency)
{
    struct idempotency_ticket *a, *b;
    struct kept_answer kept;
    struct err e;
    char answer[200], request[65];
    ck_assert_int_eq(begin("acme", "1", 1, &a, &kept), IDEMPOTENCY_NEW);
    ck_assert_int_eq(begin("acme", "1", 1, &b, &kept), IDEMPOTENCY_IN_FLIGHT);
    ck_assert_int_eq(begin("acme", "1", 2, &b, &kept), IDEMPOTENCY_CONFLICT);
    ck_assert_int_eq(begin("acm", "e1", 1, &b, &kept), IDEMPOTENCY_NEW); /* not the same as acme, 1 */
    idempotency_end(b);
    hex_encode(a->request, 32, request);
    int n = snprintf(answer, sizeof answer, "{\"request\":\"0x%s\"}", request);
    struct ledger_write *w = ledger_begin(billing.ledger);
    ledger_put(w, LEDGER_ANSWER, a->scope, answer, (size_t)n);
    ledger_put(w, LEDGER_BEFORE, a->scope, "before", 6);
    ledger_put(w, LEDGER_AFTER, a->scope, "after", 5);
    ck_assert_int_eq(ledger_commit(w, true, &e), 0);
    idempotency_end(a);
    ck_assert_int_eq(begin("acme", "1", 1, &a, &kept), IDEMPOTENCY_FINISHED);
    ck_assert_str_eq(buf_str(&kept.before), "before");
    ck_assert_uint_eq(kept.outcome.len, 0); /* its receipt has to be asked for */
    kept_answer_deinit(&kept);
    ck_assert_int_eq(begin("acme", "1", 2, &a, &kept), IDEMPOTENCY_CONFLICT);
    ck_assert_int_eq(begin("zoo", "1", 1, &a, &kept), IDEMPOTENCY_NEW); /* another tenant's key */
    idempotency_end(a);
    billing.config.kept_bytes = 0;
    ck_assert_int_eq(begin("zoo", "2", 1, &a, &kept), IDEMPOTENCY_FULL);
}
END_TEST

/* ---- prices */

static void add_price(struct chain_catalog *rows, uint8_t node, enum tier tier, uint64_t time_s, wei_t input_wei)
{
    struct row_price row = {.tier = (uint8_t)tier, .effective_time = time_s, .input_wei = input_wei};
    struct err e;
    memset(row.node, node, sizeof row.node);
    ck_assert_msg(chain_catalog_add_price(rows, &row, &e) == 0, "%s", e.message);
}

START_TEST(test_prices)
{
    static const uint8_t version[32] = {0};
    struct chain_catalog rows;
    struct buf text;
    struct catalog *c;
    struct err e;
    chain_catalog_init(&rows);
    add_price(&rows, 0x11, TIER_DEFAULT, 10, 1);
    add_price(&rows, 0x11, TIER_DEFAULT, 20, 2);
    add_price(&rows, 0x11, TIER_FLEX, 10, 3);
    add_price(&rows, 0x22, TIER_PRIORITY, 10, 4); /* another node's */
    buf_init(&text, 1 << 20);
    notation_write(&chain_catalog_schema, &rows, &text);
    json_t *j = json_loads(buf_str(&text), 0, NULL);
    const char node[] = "0x1111111111111111111111111111111111111111";
    json_object_update_new(j, json_pack("{ss sI s[{ss ss} {ss ss}]}", "node", node, "chain_id", (json_int_t)5,
                                        "contracts", "name", "Settlement", "address", node, "name", "Escrow", "address",
                                        node));
    ck_assert_msg(catalog_parse(j, &c, &e) == 0, "%s", e.message);
    ck_assert_ptr_null(catalog_price_now(c, version, TIER_DEFAULT, 9));
    ck_assert(catalog_price_now(c, version, TIER_DEFAULT, 19)->row.input_wei == 1);
    ck_assert(catalog_price_now(c, version, TIER_DEFAULT, 20)->row.input_wei == 2);
    ck_assert(catalog_price_now(c, version, TIER_FLEX, 99)->row.input_wei == 3);
    ck_assert_ptr_null(catalog_price_now(c, version, TIER_PRIORITY, 99));
    catalog_release(c);
    json_array_remove(json_object_get(j, "contracts"), 1); /* of no escrow a voucher can be told from another's */
    ck_assert_int_eq(catalog_parse(j, &c, &e), OL_EFORMAT);
    json_object_del(j, "chain_id");
    ck_assert_int_eq(catalog_parse(j, &c, &e), OL_EFORMAT);
    json_decref(j);
    buf_deinit(&text);
    chain_catalog_deinit(&rows);
}
END_TEST

/* Each reason for which nothing paid is served, the first that holds; and what only warns. */
START_TEST(test_health)
{
    static const struct {
        const char *answer, *refusal;
        bool away, priced, full;
    } cases[] = {
        {"{\"refusal\":null,\"lane\":null}", NULL, false, true, false},
        {"{\"refusal\":null,\"lane\":null}", "chainlited_away", true, true, true},
        {"{\"refusal\":{\"code\":\"epoch_closed\",\"message\":\"m\"},\"lane\":null}", "epoch_closed", false, true, true},
        {"{\"refusal\":{\"code\":\"chain_stale\",\"message\":\"m\"}}", "chain_stale", false, true, false},
        {"{\"refusal\":{\"code\":\"disk_full\",\"message\":\"m\"}}", "disk_full", false, true, false},
        {"{\"refusal\":{\"code\":\"clock_skew\",\"message\":\"m\"}}", "clock_skew", false, false, false},
        {"{\"refusal\":{\"code\":\"of a later version\"}}", "chain_stale", false, true, false},
        {"{\"refusal\":null,\"lane\":null}", "prices_missing", false, false, false},
        {"{\"refusal\":null,\"lane\":{\"missing_prices\":1}}", "prices_missing", false, true, false},
        {"{\"refusal\":null,\"lane\":{\"missing_prices\":0,\"gas_pays_batches\":0}}", NULL, false, true, false},
        {"{\"refusal\":null,\"lane\":{\"missing_prices\":0,\"gas_pays_batches\":null}}", "receipts_waiting", false, true, true},
    };
    struct catalog c = {0};
    add_price(&c.served.rows, 0x22, TIER_DEFAULT, 1, 1); /* another node's */
    add_price(&c.served.rows, 0x00, TIER_DEFAULT, 1, 1); /* ours */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j = json_loads(cases[i].answer, 0, NULL);
        struct readiness ready;
        struct billing_health h;
        ck_assert_ptr_nonnull(j);
        readiness_read(j, &ready);
        memset(c.served.node, cases[i].priced ? 0 : 0x33, sizeof c.served.node);
        billing_health_of(&c, &ready, cases[i].away ? "gone" : NULL, 5, cases[i].full ? 5 : 6, &h);
        ck_assert_msg(cases[i].refusal ? h.refusal && strcmp(h.refusal, cases[i].refusal) == 0 : !h.refusal, "%zu: %s", i,
                      h.refusal ? h.refusal : "none");
        ck_assert(!h.refusal || h.message[0]);
        bool named = !h.refusal;
        for (int k = 0; k < n_billing_refusals; k++)
            named |= h.refusal && strcmp(h.refusal, billing_refusals[k]) == 0;
        ck_assert(named);
        json_decref(j);
    }
    struct billing_health h;
    billing_health_of(NULL, &READINESS_UNKNOWN, "never there", 0, 1, &h);
    ck_assert_str_eq(h.refusal, "chainlited_away");
    ck_assert_int_eq(h.prices, -1);
    chain_catalog_deinit(&c.served.rows);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("billing");
    TCase *t = tcase_create("billing");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_wallet_header);
    tcase_add_test(t, test_payment_header);
    tcase_add_test(t, test_terms);
    tcase_add_test(t, test_delivery);
    tcase_add_test(t, test_ledger_sweep);
    tcase_add_test(t, test_arrears);
    tcase_add_test(t, test_spend);
    tcase_add_test(t, test_idempotency);
    tcase_add_test(t, test_prices);
    tcase_add_test(t, test_health);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
