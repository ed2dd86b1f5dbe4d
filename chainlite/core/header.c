/* Block headers; see header.h. One table says what each field looks like, a second how many each fork has; what the
 * OP stack's forks put into them is checked field by field behind that. */
#include "chainlite/core/header.h"
#include "chainlite/core/mpt.h"
#include "chainlite/core/rlp.h"

#include <string.h>

enum field {
    PARENT_HASH, UNCLES, MINER, STATE_ROOT, TRANSACTIONS_ROOT, RECEIPTS_ROOT, BLOOM, DIFFICULTY, NUMBER, GAS_LIMIT,
    GAS_USED, TIMESTAMP, EXTRA, MIX_HASH, NONCE, BASE_FEE, WITHDRAWALS_ROOT, BLOB_GAS_USED, EXCESS_BLOB_GAS,
    BEACON_ROOT, REQUESTS_HASH, FIELD_COUNT
};

enum { EXTRA_MAX_BYTES = 32, HOLOCENE_EXTRA_BYTES = 9, JOVIAN_EXTRA_BYTES = 17 };

static const struct {
    const char *name;
    uint16_t bytes;    /* exactly, or */
    uint8_t max_bytes; /* of an integer without leading zeros */
} shapes[FIELD_COUNT] = {
    [PARENT_HASH] = {"parentHash", 32, 0},
    [UNCLES] = {"sha3Uncles", 32, 0},
    [MINER] = {"miner", 20, 0},
    [STATE_ROOT] = {"stateRoot", 32, 0},
    [TRANSACTIONS_ROOT] = {"transactionsRoot", 32, 0},
    [RECEIPTS_ROOT] = {"receiptsRoot", 32, 0},
    [BLOOM] = {"logsBloom", 256, 0},
    [DIFFICULTY] = {"difficulty", 0, 32},
    [NUMBER] = {"number", 0, 8},
    [GAS_LIMIT] = {"gasLimit", 0, 8},
    [GAS_USED] = {"gasUsed", 0, 8},
    [TIMESTAMP] = {"timestamp", 0, 8},
    [EXTRA] = {"extraData", 0, 0}, /* any bytes */
    [MIX_HASH] = {"mixHash", 32, 0},
    [NONCE] = {"nonce", 8, 0},
    [BASE_FEE] = {"baseFeePerGas", 0, 16},
    [WITHDRAWALS_ROOT] = {"withdrawalsRoot", 32, 0},
    [BLOB_GAS_USED] = {"blobGasUsed", 0, 8},
    [EXCESS_BLOB_GAS] = {"excessBlobGas", 0, 8},
    [BEACON_ROOT] = {"parentBeaconBlockRoot", 32, 0},
    [REQUESTS_HASH] = {"requestsHash", 32, 0},
};

/* OP stack: fields from each fork on. Plain chains have these counts too (London, Shanghai, Cancun, Prague). */
static const struct {
    const char *name;
    size_t fields;
} forks[FORK_COUNT] = {
    [FORK_BEDROCK] = {"Bedrock", WITHDRAWALS_ROOT},  [FORK_CANYON] = {"Canyon", BLOB_GAS_USED},
    [FORK_ECOTONE] = {"Ecotone", REQUESTS_HASH},     [FORK_HOLOCENE] = {"Holocene", REQUESTS_HASH},
    [FORK_ISTHMUS] = {"Isthmus", FIELD_COUNT},       [FORK_JOVIAN] = {"Jovian", FIELD_COUNT},
    [FORK_KARST] = {"Karst", FIELD_COUNT},
};

const uint8_t header_no_uncles[HASH_BYTES] = {0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a, 0xab, 0x85, 0xb5,
                                              0x67, 0xb6, 0xcc, 0xd4, 0x1a, 0xd3, 0x12, 0x45, 0x1b, 0x94, 0x8a,
                                              0x74, 0x13, 0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47};
const uint8_t header_no_requests[HASH_BYTES] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                                0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                                0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};

const char *header_fork_name(enum header_fork fork) { return forks[fork].name; }

enum header_fork header_fork_at(const struct header_rules *rules, uint64_t timestamp)
{
    enum header_fork fork = FORK_KARST;
    while (fork > FORK_BEDROCK && (rules->fork_time[fork] == UINT64_MAX || timestamp < rules->fork_time[fork]))
        fork--;
    return fork;
}

static int check_shape(size_t field, const struct rlp *item, struct err *e)
{
    bool integer = shapes[field].max_bytes != 0, wrong = item->list;
    if (integer)
        wrong |= item->len > shapes[field].max_bytes || (item->len && item->data[0] == 0);
    else if (field != EXTRA)
        wrong |= item->len != shapes[field].bytes;
    if (wrong)
        return err_set(e, OL_EFORMAT, "header", "%s is malformed", shapes[field].name);
    return 0;
}

static int read_fields(const uint8_t *rlp, size_t n, struct rlp items[FIELD_COUNT], size_t *count, struct err *e)
{
    struct rlp list;
    int rc = rlp_parse(rlp, n, &list, e);
    if (rc)
        return rc;
    if (!list.list)
        return err_set(e, OL_EFORMAT, "header", "a string where the list of fields should be");
    for (struct rlp_reader r = rlp_items(&list); rlp_more(&r); ++*count) {
        if (*count == FIELD_COUNT)
            return err_set(e, OL_EUNSUPPORTED, "header", "a header with more than %d fields, of a fork not known here",
                           FIELD_COUNT);
        if ((rc = rlp_next(&r, &items[*count], e)) || (rc = check_shape(*count, &items[*count], e)))
            return rc;
    }
    return 0;
}

static wei_t integer(const struct rlp *item)
{
    wei_t value = 0;
    for (size_t i = 0; i < item->len; i++)
        value = value << 8 | item->data[i];
    return value;
}

static void fill(const struct rlp items[FIELD_COUNT], size_t count, struct header *out)
{
    memcpy(out->parent_hash, items[PARENT_HASH].data, HASH_BYTES);
    memcpy(out->state_root, items[STATE_ROOT].data, HASH_BYTES);
    memcpy(out->transactions_root, items[TRANSACTIONS_ROOT].data, HASH_BYTES);
    memcpy(out->receipts_root, items[RECEIPTS_ROOT].data, HASH_BYTES);
    out->number = (uint64_t)integer(&items[NUMBER]);
    out->timestamp = (uint64_t)integer(&items[TIMESTAMP]);
    out->gas_limit = (uint64_t)integer(&items[GAS_LIMIT]);
    out->gas_used = (uint64_t)integer(&items[GAS_USED]);
    out->base_fee_wei = integer(&items[BASE_FEE]);
    out->extra = items[EXTRA].data;
    out->extra_len = items[EXTRA].len;
    out->has_withdrawals_root = count > WITHDRAWALS_ROOT;
    if (out->has_withdrawals_root)
        memcpy(out->withdrawals_root, items[WITHDRAWALS_ROOT].data, HASH_BYTES);
    if (count > BLOB_GAS_USED)
        out->blob_gas_used = (uint64_t)integer(&items[BLOB_GAS_USED]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Holocene: version 0, base fee denominator, elasticity. Jovian: version 1, and the least base fee behind them. */
static bool extra_right(enum header_fork fork, const struct rlp *extra)
{
    if (fork < FORK_HOLOCENE)
        return extra->len <= EXTRA_MAX_BYTES;
    bool jovian = fork >= FORK_JOVIAN;
    return extra->len == (jovian ? JOVIAN_EXTRA_BYTES : HOLOCENE_EXTRA_BYTES) && extra->data[0] == (jovian ? 1 : 0) &&
           be32(extra->data + 1) != 0 && be32(extra->data + 5) != 0;
}

static bool is(const struct rlp *item, const uint8_t hash[HASH_BYTES])
{
    return memcmp(item->data, hash, HASH_BYTES) == 0;
}

static int check_op(const struct header_rules *rules, const struct rlp items[FIELD_COUNT], size_t count, struct err *e)
{
    enum header_fork fork = header_fork_at(rules, (uint64_t)integer(&items[TIMESTAMP]));
    const char *wrong = NULL;
    if (count != forks[fork].fields)
        return err_set(e, OL_EFORMAT, "header", "%zu fields where %s has %zu; check the chain's fork times", count,
                       forks[fork].name, forks[fork].fields);
    if (!is(&items[UNCLES], header_no_uncles))
        wrong = shapes[UNCLES].name;
    else if (items[DIFFICULTY].len)
        wrong = shapes[DIFFICULTY].name;
    else if (memcmp(items[NONCE].data, (const uint8_t[8]){0}, 8) != 0)
        wrong = shapes[NONCE].name;
    else if (!extra_right(fork, &items[EXTRA]))
        wrong = shapes[EXTRA].name;
    else if (fork >= FORK_CANYON && fork < FORK_ISTHMUS && !is(&items[WITHDRAWALS_ROOT], mpt_empty_root))
        wrong = shapes[WITHDRAWALS_ROOT].name;
    else if (fork >= FORK_ECOTONE && fork < FORK_JOVIAN && items[BLOB_GAS_USED].len) /* Jovian: the DA footprint */
        wrong = shapes[BLOB_GAS_USED].name;
    else if (fork >= FORK_ECOTONE && items[EXCESS_BLOB_GAS].len)
        wrong = shapes[EXCESS_BLOB_GAS].name;
    else if (fork >= FORK_ISTHMUS && !is(&items[REQUESTS_HASH], header_no_requests))
        wrong = shapes[REQUESTS_HASH].name;
    if (wrong)
        return err_set(e, OL_EFORMAT, "header", "%s is not what %s puts there; check the chain's fork times", wrong,
                       forks[fork].name);
    return 0;
}

static int check_plain(size_t count, struct err *e)
{
    for (size_t fork = 0; fork < FORK_COUNT; fork++)
        if (count == forks[fork].fields)
            return 0;
    return err_set(e, OL_EFORMAT, "header", "%zu fields; no fork since London has that many", count);
}

int header_parse(const uint8_t *rlp, size_t n, const struct header_rules *rules, struct header *out, struct err *e)
{
    struct rlp items[FIELD_COUNT] = {0};
    size_t count = 0;
    int rc = read_fields(rlp, n, items, &count, e);
    if (rc)
        return rc;
    if ((rc = check_plain(count, e)) || (rules->op_stack && (rc = check_op(rules, items, count, e))))
        return rc;
    *out = (struct header){0};
    fill(items, count, out);
    keccak256(rlp, n, out->hash);
    return 0;
}
