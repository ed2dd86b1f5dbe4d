/* Deposit transactions and L1 attributes; see deposit.h. The attributes are packed without ABI words, so that each form
 * is the one before it with fields added at the end. */
#include "chainlite/core/deposit.h"
#include "chainlite/core/rlp.h"

#include <string.h>

enum source_domain { SOURCE_USER = 0, SOURCE_L1_INFO = 1, SOURCE_UPGRADE = 2 };

enum { SELECTOR_BYTES = 4 };

static const struct {
    uint8_t selector[SELECTOR_BYTES];
    size_t bytes; /* of the whole call data */
} forms[] = {
    [ATTRIBUTES_ECOTONE] = {{0x44, 0x0a, 0x5e, 0x20}, 164},
    [ATTRIBUTES_ISTHMUS] = {{0x09, 0x89, 0x99, 0xbe}, 176},
    [ATTRIBUTES_JOVIAN] = {{0x3d, 0xb6, 0xbe, 0x2b}, 178},
};

static const uint8_t depositor[ADDRESS_BYTES] = {0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad,
                                                 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0x00, 0x01};
static const uint8_t l1_block[ADDRESS_BYTES] = {[0] = 0x42, [ADDRESS_BYTES - 1] = 0x15};

/* keccak(domain as a word || keccak(what is hashed)) */
static void source(enum source_domain domain, const void *bytes, size_t n, uint8_t out[HASH_BYTES])
{
    uint8_t words[2][HASH_BYTES];
    wei_to_be32(domain, words[0]);
    keccak256(bytes, n, words[1]);
    keccak256(words, sizeof words, out);
}

static void numbered_source(enum source_domain domain, const uint8_t block_hash[HASH_BYTES], uint64_t number,
                            uint8_t out[HASH_BYTES])
{
    uint8_t words[2][HASH_BYTES];
    memcpy(words[0], block_hash, HASH_BYTES);
    wei_to_be32(number, words[1]);
    source(domain, words, sizeof words, out);
}

void deposit_user_source(const uint8_t l1_block_hash[HASH_BYTES], uint64_t log_index, uint8_t out[HASH_BYTES])
{
    numbered_source(SOURCE_USER, l1_block_hash, log_index, out);
}

void deposit_l1_info_source(const uint8_t l1_block_hash[HASH_BYTES], uint64_t sequence_number, uint8_t out[HASH_BYTES])
{
    numbered_source(SOURCE_L1_INFO, l1_block_hash, sequence_number, out);
}

void deposit_upgrade_source(const char *intent, uint8_t out[HASH_BYTES])
{
    source(SOURCE_UPGRADE, intent, strlen(intent), out);
}

static int read_to(struct rlp_reader *r, struct deposit *out, struct err *e)
{
    struct rlp to;
    int rc = rlp_next(r, &to, e);
    if (rc)
        return rc;
    if (to.list || (to.len != 0 && to.len != ADDRESS_BYTES))
        return err_set(e, OL_EFORMAT, "deposit", "`to` is neither an address nor empty");
    out->create = to.len == 0;
    if (!out->create)
        memcpy(out->to, to.data, ADDRESS_BYTES);
    return 0;
}

int deposit_parse(const uint8_t *bytes, size_t n, struct deposit *out, struct err *e)
{
    struct rlp list, data;
    uint64_t is_system;
    int rc;
    if (n == 0 || bytes[0] != DEPOSIT_TX_TYPE)
        return err_set(e, OL_EUNSUPPORTED, "deposit", "not a transaction of type 0x7e");
    if ((rc = rlp_parse(bytes + 1, n - 1, &list, e)))
        return rc;
    if (!list.list)
        return err_set(e, OL_EFORMAT, "deposit", "a string where the list of fields should be");
    struct rlp_reader r = rlp_items(&list);
    *out = (struct deposit){0};
    if ((rc = rlp_next_bytes(&r, out->source_hash, HASH_BYTES, e)) ||
        (rc = rlp_next_bytes(&r, out->from, ADDRESS_BYTES, e)) || (rc = read_to(&r, out, e)) ||
        (rc = rlp_next_wei(&r, &out->mint_wei, e)) || (rc = rlp_next_wei(&r, &out->value_wei, e)) ||
        (rc = rlp_next_u64(&r, &out->gas, e)) || (rc = rlp_next_u64(&r, &is_system, e)) ||
        (rc = rlp_next(&r, &data, e)))
        return rc;
    if (data.list || is_system > 1 || rlp_more(&r))
        return err_set(e, OL_EFORMAT, "deposit", "data is a list, isSystemTx is not a flag, or items follow the data");
    out->is_system = is_system == 1;
    out->data = data.data;
    out->data_len = data.len;
    return 0;
}

static uint64_t next_be(const uint8_t **at, size_t n)
{
    uint64_t value = 0;
    for (; n; n--)
        value = value << 8 | *(*at)++;
    return value;
}

static bool next_wei(const uint8_t **at, wei_t *out)
{
    bool fits = wei_from_be32(*at, out);
    *at += 32;
    return fits;
}

/* The size was checked against the form. */
static int read_attributes(const uint8_t *at, struct l1_attributes *out, struct err *e)
{
    out->base_fee_scalar = (uint32_t)next_be(&at, 4);
    out->blob_base_fee_scalar = (uint32_t)next_be(&at, 4);
    out->sequence_number = next_be(&at, 8);
    out->timestamp = next_be(&at, 8);
    out->number = next_be(&at, 8);
    bool fits = next_wei(&at, &out->base_fee_wei);
    if (!next_wei(&at, &out->blob_base_fee_wei) || !fits)
        return err_set(e, OL_EFORMAT, "deposit", "an L1 base fee of more than 128 bits");
    memcpy(out->hash, at, HASH_BYTES);
    memcpy(out->batcher_hash, at + HASH_BYTES, HASH_BYTES);
    at += 2 * HASH_BYTES;
    if (out->form >= ATTRIBUTES_ISTHMUS) {
        out->operator_fee_scalar = (uint32_t)next_be(&at, 4);
        out->operator_fee_constant = next_be(&at, 8);
    }
    if (out->form >= ATTRIBUTES_JOVIAN)
        out->da_footprint_gas_scalar = (uint16_t)next_be(&at, 2);
    return 0;
}

int deposit_l1_attributes(const struct deposit *deposit, struct l1_attributes *out, struct err *e)
{
    uint8_t expected[HASH_BYTES];
    size_t form = 0, n_forms = sizeof forms / sizeof *forms;
    if (deposit->create || memcmp(deposit->from, depositor, ADDRESS_BYTES) != 0 ||
        memcmp(deposit->to, l1_block, ADDRESS_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "deposit", "not from the depositor account to the L1Block contract");
    while (form < n_forms && (deposit->data_len != forms[form].bytes ||
                              memcmp(deposit->data, forms[form].selector, SELECTOR_BYTES) != 0))
        form++;
    if (form == n_forms)
        return err_set(e, OL_EUNSUPPORTED, "deposit", "L1 attributes of %zu bytes in a form not known here",
                       deposit->data_len);
    *out = (struct l1_attributes){.form = (enum attributes_form)form};
    int rc = read_attributes(deposit->data + SELECTOR_BYTES, out, e);
    if (rc)
        return rc;
    deposit_l1_info_source(out->hash, out->sequence_number, expected);
    if (memcmp(expected, deposit->source_hash, HASH_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "deposit", "the source hash is not that of the L1 origin in the call data");
    return 0;
}
