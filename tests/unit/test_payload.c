/* Gossip: a real block as a payload must give its hash, published messages decode, signing hashes as published, and
 * what a hostile sender may change is refused. */
#include "unit/chain_json.h"
#include "chainlite/core/deposit.h"
#include "chainlite/core/payload.h"
#include "chainlite/core/snappy.h"

static json_t *root;
static struct secp *secp;
static uint8_t bytes[1 << 16], plain[1 << 16], rlp[PAYLOAD_HEADER_BYTES];

START_TEST(test_blocks)
{
    json_t *block;
    const char *name;
    int n_blocks = 0;
    json_object_foreach(json_object_get(root, "blocks"), name, block)
    {
        struct payload p;
        struct header h;
        struct deposit d;
        struct l1_attributes a;
        struct err e = {0};
        const uint8_t *tx;
        size_t tx_len, rlp_len, len = payload_of_json(block, bytes, sizeof bytes);
        struct header_rules rules = rules_at(FORK_ISTHMUS), older = rules_at(FORK_HOLOCENE);
        ck_assert_msg(payload_parse(bytes, len, PAYLOAD_V4, &p, &e) == 0, "%s: %s", name, e.message);
        ck_assert_msg(payload_header(&p, &rules, rlp, &rlp_len, &h, &e) == 0, "%s: %s", name, e.message);
        ck_assert_hex(h.hash, 32, text_at(block, "hash"));
        ck_assert(h.number == p.number && h.timestamp == p.timestamp && h.number == quantity_at(block, "number"));
        ck_assert_uint_eq(p.n_transactions, json_array_size(json_object_get(block, "transactions")));
        payload_transaction(&p, 0, &tx, &tx_len);
        ck_assert_msg(deposit_parse(tx, tx_len, &d, &e) == 0 && deposit_l1_attributes(&d, &a, &e) == 0, "%s",
                      e.message);
        ck_assert(a.form == ATTRIBUTES_ISTHMUS && a.base_fee_wei > 0 && a.timestamp <= p.timestamp);
        ck_assert_int_eq(payload_header(&p, &older, rlp, &rlp_len, &h, NULL), OL_EFORMAT);
        n_blocks++;
        for (size_t at = 0; at < len; at++) { /* every byte is part of the block, so of its hash */
            bytes[at] ^= 1;
            if (payload_parse(bytes, len, PAYLOAD_V4, &p, NULL) == 0)
                ck_assert_msg(payload_header(&p, &rules, rlp, &rlp_len, &h, NULL) == OL_EFORMAT, "%s: byte %zu", name,
                              at);
            bytes[at] ^= 1;
        }
        for (size_t cut = 0; cut < len; cut += cut < 700 ? 1 : 97)
            if (payload_parse(bytes, cut, PAYLOAD_V4, &p, NULL) == 0)
                ck_assert_int_eq(payload_header(&p, &rules, rlp, &rlp_len, &h, NULL), OL_EFORMAT);
    }
    ck_assert_int_eq(n_blocks, 1);
}
END_TEST

/* Messages of each version, as another implementation packs them: their times are the ones its tests expect. */
START_TEST(test_messages)
{
    static const uint64_t times[] = {1725271882, 1708427627, 1708427461, 1741842007};
    for (int v = PAYLOAD_V1; v <= PAYLOAD_V4; v++) {
        struct bytes block =
            bytes_of_hex(json_string_value(json_array_get(json_object_get(root, "gossip"), (size_t)v - 1)));
        size_t len, claimed, payload_len;
        const uint8_t *payload;
        uint8_t signer[20];
        struct payload p;
        struct err e = {0};
        ck_assert(snappy_length(block.data, block.len, &claimed, NULL) == 0 && claimed < sizeof plain);
        ck_assert_msg(snappy_decode(block.data, block.len, plain, sizeof plain, &len, &e) == 0, "%s", e.message);
        ck_assert_uint_eq(len, claimed);
        ck_assert_int_eq(snappy_decode(block.data, block.len, plain, claimed - 1, &len, NULL), OL_ELIMIT);
        ck_assert_msg(payload_signer(plain, claimed, 10, secp, signer, &payload, &payload_len, &e) == 0, "%s",
                      e.message);
        int rc = payload_parse(payload, payload_len, (enum payload_version)v, &p, &e);
        /* these messages have no transactions, as no real block has; the rest of them is in order */
        ck_assert_msg(rc == OL_EFORMAT && strstr(e.message, "without transactions"), "version %d: %s", v, e.message);
        ck_assert_uint_eq(p.timestamp, times[v - 1]);
        for (size_t cut = 0; cut < block.len; cut++) {
            ck_assert_int_eq(snappy_decode(block.data, cut, plain, sizeof plain, &len, NULL), OL_EFORMAT);
        }
        free(block.data);
    }
}
END_TEST

START_TEST(test_signatures)
{
    uint8_t hash[32], key[32] = {[31] = 5}, signer[20], address[20], message[200], signature[SIGNATURE_BYTES];
    const uint8_t *payload;
    size_t len;
    struct err e;
    payload_signing_hash(10, (const uint8_t *)"arbitraryData", 13, hash);
    ck_assert_hex(hash, 32, "ccb08126b7f857d1dd7f861f90b7c85b91c36f4336c285ebb7999dbf2a3cab52");
    payload_signing_hash(100, (const uint8_t *)"arbitraryData", 13, hash);
    ck_assert_hex(hash, 32, "726ab3cbba213a057f203ebfe15958f9f27a642c88daca9d2dc13d22e05e36da");
    struct bytes inner = bytes_of_hex("9999999999999999999999999999999999999999999999999999999999999999");
    payload_signing_hash(10, inner.data, 32, hash); /* op-alloy, envelope.rs */
    ck_assert_hex(hash, 32, "44a0e2b1aba1aae1771eddae1dcd2ad18a8cdac8891517153f03253e49d3f206");
    ck_assert_int_eq(secp_sign(secp, key, hash, signature, NULL), 0);
    signature[64] = (uint8_t)(signature[64] - 27);
    memcpy(message, signature, 65);
    memcpy(message + 65, inner.data, 32);
    secp_address(secp, key, address, NULL);
    ck_assert_int_eq(payload_signer(message, 97, 10, secp, signer, &payload, &len, NULL), 0);
    ck_assert(memcmp(signer, address, 20) == 0 && payload == message + 65 && len == 32);
    ck_assert(payload_signer(message, 97, 11, secp, signer, &payload, &len, NULL) != 0 ||
              memcmp(signer, address, 20) != 0);
    message[64] = 27;
    ck_assert(payload_signer(message, 97, 10, secp, signer, &payload, &len, &e) == OL_EFORMAT &&
              strstr(e.message, "parity"));
    ck_assert_int_eq(payload_signer(message, 65, 10, secp, signer, &payload, &len, NULL), OL_EFORMAT);
    free(inner.data);
}
END_TEST

START_TEST(test_time)
{
    static const struct {
        uint64_t timestamp, now;
        int rc;
    } cases[] = {{1000, 1000, 0},
                 {1000, 1060, 0},
                 {1000, 1061, OL_EFORMAT},
                 {1005, 1000, 0},
                 {1006, 1000, OL_EFORMAT},
                 {0, UINT64_MAX, OL_EFORMAT},
                 {UINT64_MAX, 0, OL_EFORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_int_eq(payload_check_time(cases[i].timestamp, cases[i].now, NULL), cases[i].rc);
    ck_assert(payload_version_of(FORK_BEDROCK) == PAYLOAD_V1 && payload_version_of(FORK_CANYON) == PAYLOAD_V2 &&
              payload_version_of(FORK_HOLOCENE) == PAYLOAD_V3 && payload_version_of(FORK_JOVIAN) == PAYLOAD_V4);
}
END_TEST

/* Blocks of the format description, each kind of element. */
START_TEST(test_snappy)
{
    static const struct {
        const char *block, *text; /* NULL: refused */
    } cases[] = {
        {"00", ""},
        {"0308616263", "abc"},
        {"0a0061250100000000", NULL},     /* an element too short for its length */
        {"0a00611a0100", NULL},           /* 1 + 7 is not 10 */
        {"0800611a0100", "aaaaaaaa"},     /* literal a, copy of 7 from 1 back (two-byte offset) */
        {"0800610d01", "aaaaaaaa"},       /* the same, short form */
        {"0800611b01000000", "aaaaaaaa"}, /* the same, four-byte offset */
        {"04f00361626364", "abcd"},       /* literal with a length byte */
        {"04f4030061626364", "abcd"},     /* … with two */
        {"04fc0300000061626364", "abcd"}, /* … with four */
        {"0800611a0200", NULL},           /* from before the start */
        {"0800611a0000", NULL},           /* from nowhere */
        {"04086162", NULL},               /* literal behind the end */
        {"0208616263", NULL},             /* more than said */
        {"0408616263", NULL},             /* less than said */
        {"", NULL},
        {"80", NULL},
        {"808080808000", NULL},
        {"ffffffff7f00", NULL}, /* more than 32 bits */
        {"8180808000", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = bytes_of_hex(cases[i].block);
        size_t len = 0;
        size_t claimed = 0;
        if (snappy_length(b.data, b.len, &claimed, NULL) != 0 || claimed > 100)
            claimed = 0;
        uint8_t *exact = malloc(claimed + !claimed); /* a byte too many is seen by the address sanitizer */
        int rc = snappy_decode(b.data, b.len, exact, claimed, &len, NULL);
        ck_assert_msg((rc == 0) == (cases[i].text != NULL), "%s: %d", cases[i].block, rc);
        ck_assert(rc || (len == strlen(cases[i].text) && memcmp(exact, cases[i].text, len) == 0));
        free(exact);
        free(b.data);
    }
}
END_TEST

int main(void)
{
    const uint8_t random[32] = {42};
    root = json_load_file("tests/unit/data/payloads.json", 0, NULL);
    secp = secp_open(random);
    int rc = RUN_SUITE("payload", test_blocks, test_messages, test_signatures, test_time, test_snappy);
    secp_close(secp);
    json_decref(root);
    return rc;
}
