/* EIP-712: the standard's own example (Mail from Cow to Bob), hashes and signature. */
#include "unit/vectors.h"
#include "chainlite/core/eip712.h"
#include "chainlite/core/secp.h"

static void person(const char *name, const char *wallet, uint8_t out[HASH_BYTES])
{
    struct bytes address = bytes_of_hex(wallet);
    struct eip712 s;
    eip712_begin(&s, "Person(string name,address wallet)");
    eip712_bytes(&s, name, strlen(name));
    eip712_address(&s, address.data);
    eip712_end(&s, out);
    free(address.data);
}

START_TEST(test_mail)
{
    uint8_t domain[32], from[32], to[32], mail[32], digest[32], key[32], signature[SIGNATURE_BYTES];
    struct bytes contract = bytes_of_hex("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC");
    struct eip712 s;
    eip712_domain("Ether Mail", "1", 1, contract.data, domain);
    ck_assert_hex(domain, 32, "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f");
    person("Cow", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826", from);
    ck_assert_hex(from, 32, "fc71e5fa27ff56c350aa531bc129ebdf613b772b6604664f5d8dbe21b85eb0c8");
    person("Bob", "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB", to);
    eip712_begin(&s, "Mail(Person from,Person to,string contents)Person(string name,address wallet)");
    eip712_word(&s, from);
    eip712_word(&s, to);
    eip712_bytes(&s, "Hello, Bob!", 11);
    eip712_end(&s, mail);
    ck_assert_hex(mail, 32, "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e");
    eip712_digest(domain, mail, digest);
    ck_assert_hex(digest, 32, "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");

    struct secp *secp = secp_open(domain);
    keccak256("cow", 3, key);
    ck_assert_int_eq(secp_sign(secp, key, digest, signature, NULL), 0);
    ck_assert_hex(signature, 65,
                  "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
                  "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c");
    secp_close(secp);
    free(contract.data);
}
END_TEST

/* Every kind of field is the word that the ABI gives it. */
START_TEST(test_words)
{
    uint8_t by_field[32], by_word[32], word[32];
    struct eip712 s;
    eip712_begin(&s, "T(uint64 a,uint128 b,int64 c)");
    eip712_u64(&s, 5);
    eip712_wei(&s, ~(wei_t)0);
    eip712_i64(&s, -5);
    eip712_end(&s, by_field);
    eip712_begin(&s, "T(uint64 a,uint128 b,int64 c)");
    wei_to_be32(5, word);
    eip712_word(&s, word);
    wei_to_be32(~(wei_t)0, word);
    eip712_word(&s, word);
    memset(word, 0xff, 32);
    word[31] = 0xfb;
    eip712_word(&s, word);
    eip712_end(&s, by_word);
    ck_assert_mem_eq(by_field, by_word, 32);
}
END_TEST

int main(void) { return RUN_SUITE("eip712", test_mail, test_words); }
