/* Keys and signatures: published keys, addresses and signatures; everything that Ethereum refuses is refused. */
#include "unit/vectors.h"
#include "chainlite/core/secp.h"

#include <stdio.h>
#include <time.h>

static const char ORDER[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
static struct secp *secp;

static void be_subtract(const uint8_t a[32], const uint8_t b[32], uint8_t out[32])
{
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int d = a[i] - b[i] - borrow;
        borrow = d < 0;
        out[i] = (uint8_t)d;
    }
}

START_TEST(test_published)
{
    json_t *root = vectors_load("tests/unit/data/ethereum/keyaddrtest.json"), *vector;
    size_t i;
    json_array_foreach(root, i, vector) {
        uint8_t hash[HASH_BYTES], address[ADDRESS_BYTES];
        struct bytes key = bytes_at(vector, "key");
        keccak256(text_at(vector, "seed"), strlen(text_at(vector, "seed")), hash);
        ck_assert_mem_eq(hash, key.data, 32); /* the key is the hash of its seed */
        ck_assert_int_eq(secp_address(secp, key.data, address, NULL), 0);
        ck_assert_hex(address, 20, text_at(vector, "addr"));
        free(key.data);
    }
    json_decref(root);
}
END_TEST

/* go-ethereum, crypto/signature_test.go: digest, signature, public key. */
START_TEST(test_recover)
{
    struct bytes digest = bytes_of_hex("ce0677bb30baa8cf067c88db9811f4333d131bf8bcf12fe7065d211dce971008");
    struct bytes signature = bytes_of_hex("90f27b8b488db00b00606796d2987f6a5f59ae62ea05effe84fef5b8b0e54998"
                                          "4a691139ad57a3f0b906637673aa2f63d1f55cb1a69199d4009eea23ceaddc931c");
    struct bytes point = bytes_of_hex("e32df42865e97135acfb65f3bae71bdc86f4d49150ad6a440b6f15878109880a"
                                      "0a2b2667f7e725ceea70c673093bf67663e0312623c8e091b13cf2c0f11ef652");
    uint8_t hash[HASH_BYTES], signer[ADDRESS_BYTES];
    keccak256(point.data, point.len, hash);
    ck_assert_int_eq(secp_recover(secp, digest.data, signature.data, signer, NULL), 0);
    ck_assert_mem_eq(signer, hash + 12, ADDRESS_BYTES);
    free(digest.data);
    free(signature.data);
    free(point.data);
}
END_TEST

/* RFC 6979 for this curve: key 1, SHA-256 of "Satoshi Nakamoto" (a vector used across Bitcoin libraries). */
START_TEST(test_deterministic)
{
    uint8_t key[32] = {0}, signature[SIGNATURE_BYTES];
    struct bytes digest = bytes_of_hex("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e");
    key[31] = 1;
    ck_assert_int_eq(secp_sign(secp, key, digest.data, signature, NULL), 0);
    ck_assert_hex(signature, 64,
                  "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
                  "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5");
    free(digest.data);
}
END_TEST

START_TEST(test_round_trip)
{
    uint8_t key[32], digest[32] = {0}, signature[SIGNATURE_BYTES], address[20], signer[20];
    struct timespec a, b;
    enum { ROUNDS = 500 };
    keccak256("round trip", 10, key);
    ck_assert_int_eq(secp_address(secp, key, address, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++) {
        keccak256(digest, sizeof digest, digest);
        ck_assert_int_eq(secp_sign(secp, key, digest, signature, NULL), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double us = (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
    printf("secp_sign: %.1f us\n", us / ROUNDS);
    ck_assert(secp_recover(secp, digest, signature, signer, NULL) == 0 && memcmp(signer, address, 20) == 0);
    for (size_t at = 0; at < 8 * sizeof signature; at++) { /* any bit flipped: refused, or another signer */
        signature[at / 8] ^= (uint8_t)(1 << at % 8);
        ck_assert(secp_recover(secp, digest, signature, signer, NULL) != 0 || memcmp(signer, address, 20) != 0);
        signature[at / 8] ^= (uint8_t)(1 << at % 8);
    }
}
END_TEST

START_TEST(test_refused)
{
    uint8_t key[32] = {0}, digest[32] = {1}, signature[SIGNATURE_BYTES], good[SIGNATURE_BYTES], address[20];
    struct bytes order = bytes_of_hex(ORDER);
    struct err e;
    ck_assert(!secp_secret_valid(secp, key) && secp_address(secp, key, address, NULL) == OL_EINVAL);
    ck_assert_int_eq(secp_sign(secp, key, digest, good, &e), OL_EINVAL);
    ck_assert(!secp_secret_valid(secp, order.data) && secp_sign(secp, order.data, digest, good, NULL) == OL_EINVAL);
    key[31] = 1;
    ck_assert(secp_secret_valid(secp, key) && secp_sign(secp, key, digest, good, NULL) == 0);
    for (int v = 0; v < 256; v++) { /* no v but 27 and 28 */
        memcpy(signature, good, sizeof good);
        signature[64] = (uint8_t)v;
        ck_assert_int_eq(secp_recover(secp, digest, signature, address, NULL) == OL_EFORMAT, v != 27 && v != 28);
    }
    for (int half = 0; half < 2; half++) { /* r, s: zero and the order */
        memcpy(signature, good, sizeof good);
        memset(signature + 32 * half, 0, 32);
        ck_assert_int_eq(secp_recover(secp, digest, signature, address, NULL), OL_EFORMAT);
        memcpy(signature + 32 * half, order.data, 32);
        ck_assert_int_eq(secp_recover(secp, digest, signature, address, NULL), OL_EFORMAT);
    }
    memcpy(signature, good, sizeof good); /* the same signature with the other s */
    be_subtract(order.data, good + 32, signature + 32);
    signature[64] ^= 27 ^ 28;
    ck_assert(secp_recover(secp, digest, signature, address, &e) == OL_EFORMAT && strstr(e.message, "upper half"));
    free(order.data);
}
END_TEST

int main(void)
{
    const uint8_t random[32] = {42};
    secp = secp_open(random);
    int rc = RUN_SUITE("secp", test_published, test_recover, test_deterministic, test_round_trip, test_refused);
    secp_close(secp);
    return rc;
}
