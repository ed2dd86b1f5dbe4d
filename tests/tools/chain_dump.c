/* For tests/golden/test_chain_codecs.py: answers requests, one a line of words, each with one line of hexadecimal text.
 *   keccak BYTES                       hash
 *   address SECRET | create ADDRESS NONCE | checksum ADDRESS
 *   sign SECRET DIGEST                 r s v
 *   recover DIGEST SIGNATURE           address
 *   rlp TOKENS…                        "[", "]" and byte strings
 *   abi U64 I64 U128 BOOL ADDRESS WORD BYTES BYTES   call data of f(uint64,int64,uint128,bool,
 *                                      address,bytes32,bytes,string)
 *   eip712 CHAIN CONTRACT U64 I64 U128 ADDRESS WORD BYTES   digest of Mixed in the domain ("Golden", "1")
 *   tx SECRET CHAIN NONCE TIP CAP GAS TO VALUE BYTES   signed transaction; TO "-" creates
 *   parse BYTES                        sender, hash and the fields of a signed transaction
 * Byte strings are hexadecimal, "0x" when empty. */
#include "chainlite/core/abi.h"
#include "chainlite/core/eip712.h"
#include "chainlite/core/hex.h"
#include "chainlite/core/rlp.h"
#include "chainlite/core/tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 4096, MAX_BYTES = 1 << 16 };

static char *words[MAX_WORDS];
static size_t n_words, next_word;
static uint8_t room[4 * MAX_BYTES];
static struct secp *secp;

static const char *word(void)
{
    CHECK(next_word < n_words);
    return words[next_word++];
}

static size_t bytes(uint8_t *out)
{
    const char *text = word();
    size_t n = strlen(text) / 2 - 1;
    CHECK(n <= MAX_BYTES && hex_decode(text, out, n));
    return n;
}

static void fixed(uint8_t *out, size_t n) { CHECK(hex_decode(word(), out, n)); }
static uint64_t u64(void) { return strtoull(word(), NULL, 10); }
static int64_t i64(void) { return strtoll(word(), NULL, 10); }

static wei_t wei(void)
{
    wei_t value = 0;
    CHECK(wei_parse(word(), &value));
    return value;
}

static void print(const void *data, size_t n)
{
    static char text[8 * MAX_BYTES + 1];
    hex_encode(data, n, text);
    printf("0x%s ", text);
}

static void answer_keccak(void)
{
    uint8_t hash[HASH_BYTES];
    keccak256(room, bytes(room), hash);
    print(hash, sizeof hash);
}

static void answer_address(void)
{
    uint8_t secret[SECRET_BYTES], address[ADDRESS_BYTES];
    fixed(secret, sizeof secret);
    CHECK(secp_address(secp, secret, address, NULL) == 0);
    print(address, sizeof address);
}

static void answer_create(void)
{
    uint8_t sender[ADDRESS_BYTES], address[ADDRESS_BYTES];
    fixed(sender, sizeof sender);
    tx_create_address(sender, u64(), address);
    print(address, sizeof address);
}

static void answer_checksum(void)
{
    uint8_t address[ADDRESS_BYTES];
    char text[ADDRESS_TEXT_BYTES];
    fixed(address, sizeof address);
    address_format(address, text);
    printf("%s ", text);
}

static void answer_sign(void)
{
    uint8_t secret[SECRET_BYTES], digest[HASH_BYTES], signature[SIGNATURE_BYTES];
    fixed(secret, sizeof secret);
    fixed(digest, sizeof digest);
    CHECK(secp_sign(secp, secret, digest, signature, NULL) == 0);
    print(signature, sizeof signature);
}

static void answer_recover(void)
{
    uint8_t digest[HASH_BYTES], signature[SIGNATURE_BYTES], address[ADDRESS_BYTES];
    fixed(digest, sizeof digest);
    fixed(signature, sizeof signature);
    CHECK(secp_recover(secp, digest, signature, address, NULL) == 0);
    print(address, sizeof address);
}

static void answer_rlp(void)
{
    static uint8_t out[4 * MAX_BYTES];
    size_t marks[64], depth = 0;
    struct rlp_writer w;
    rlp_writer_init(&w, out, sizeof out);
    while (next_word < n_words) {
        if (strcmp(words[next_word], "[") == 0) {
            CHECK(depth < 64);
            marks[depth++] = rlp_list_open(&w);
            next_word++;
        } else if (strcmp(words[next_word], "]") == 0) {
            rlp_list_close(&w, marks[--depth]);
            next_word++;
        } else {
            rlp_put_bytes(&w, room, bytes(room));
        }
    }
    CHECK(!w.failed && depth == 0);
    print(out, w.len);
}

static void answer_abi(void)
{
    static uint8_t out[4 * MAX_BYTES];
    uint8_t address[ADDRESS_BYTES], word32[32];
    struct abi_writer w;
    abi_writer_init(&w, out, sizeof out);
    abi_put_selector(&w, "f(uint64,int64,uint128,bool,address,bytes32,bytes,string)");
    size_t base = w.len;
    abi_put_u64(&w, u64());
    abi_put_i64(&w, i64());
    abi_put_wei(&w, wei());
    abi_put_bool(&w, u64() != 0);
    fixed(address, sizeof address);
    abi_put_address(&w, address);
    fixed(word32, sizeof word32);
    abi_put_word(&w, word32);
    size_t first = abi_put_offset(&w), second = abi_put_offset(&w);
    abi_set_offset(&w, first, base);
    abi_put_bytes(&w, room, bytes(room));
    abi_set_offset(&w, second, base);
    abi_put_bytes(&w, room, bytes(room));
    CHECK(!w.failed);
    print(out, w.len);
}

static void answer_eip712(void)
{
    uint8_t address[ADDRESS_BYTES], domain[HASH_BYTES], hash[HASH_BYTES], word32[32];
    struct eip712 s;
    uint64_t chain = u64();
    fixed(address, sizeof address);
    eip712_domain("Golden", "1", chain, address, domain);
    eip712_begin(&s, "Mixed(uint64 a,int64 b,uint128 c,address d,bytes32 e,bytes f)");
    eip712_u64(&s, u64());
    eip712_i64(&s, i64());
    eip712_wei(&s, wei());
    fixed(address, sizeof address);
    eip712_address(&s, address);
    fixed(word32, sizeof word32);
    eip712_word(&s, word32);
    eip712_bytes(&s, room, bytes(room));
    eip712_end(&s, hash);
    eip712_digest(domain, hash, hash);
    print(hash, sizeof hash);
}

static void answer_tx(void)
{
    static uint8_t out[2 * MAX_BYTES];
    uint8_t secret[SECRET_BYTES], hash[HASH_BYTES];
    struct tx tx = {.data = room};
    size_t len;
    fixed(secret, sizeof secret);
    tx.chain_id = u64();
    tx.nonce = u64();
    tx.tip_wei = wei();
    tx.fee_cap_wei = wei();
    tx.gas_limit = u64();
    tx.create = strcmp(words[next_word], "-") == 0;
    if (tx.create)
        next_word++;
    else
        fixed(tx.to, sizeof tx.to);
    tx.value_wei = wei();
    tx.data_len = bytes(room);
    CHECK(tx_sign(&tx, secp, secret, out, sizeof out, &len, hash, NULL) == 0);
    print(out, len);
}

static void print_wei(wei_t value)
{
    char text[WEI_TEXT_BYTES];
    wei_format(value, text);
    printf("%s ", text);
}

static void answer_parse(void)
{
    uint8_t sender[ADDRESS_BYTES], hash[HASH_BYTES];
    struct tx tx;
    size_t n = bytes(room);
    CHECK(tx_parse(room, n, secp, &tx, sender, hash, NULL) == 0);
    print(sender, sizeof sender);
    print(hash, sizeof hash);
    printf("%llu %llu ", (unsigned long long)tx.chain_id, (unsigned long long)tx.nonce);
    print_wei(tx.tip_wei);
    print_wei(tx.fee_cap_wei);
    printf("%llu ", (unsigned long long)tx.gas_limit);
    if (tx.create)
        printf("- ");
    else
        print(tx.to, sizeof tx.to);
    print_wei(tx.value_wei);
    print(tx.data, tx.data_len);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*answer)(void);
    } requests[] = {{"keccak", answer_keccak}, {"address", answer_address}, {"create", answer_create},
                    {"checksum", answer_checksum}, {"sign", answer_sign}, {"recover", answer_recover},
                    {"rlp", answer_rlp}, {"abi", answer_abi}, {"eip712", answer_eip712}, {"tx", answer_tx},
                    {"parse", answer_parse}};
    static const uint8_t random[32] = {1};
    char *line = NULL, *rest;
    size_t cap = 0, i;
    secp = secp_open(random);
    CHECK(secp != NULL);
    while (getline(&line, &cap, stdin) > 0) {
        n_words = next_word = 0;
        for (char *at = strtok_r(line, " \n", &rest); at; at = strtok_r(NULL, " \n", &rest)) {
            CHECK(n_words < MAX_WORDS);
            words[n_words++] = at;
        }
        const char *name = word();
        for (i = 0; i < sizeof requests / sizeof *requests && strcmp(requests[i].name, name) != 0; i++)
            continue;
        CHECK(i < sizeof requests / sizeof *requests);
        requests[i].answer();
        printf("\n");
    }
    free(line);
    secp_close(secp);
    return 0;
}
