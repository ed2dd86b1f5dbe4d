/* Rows, fees and parts; see rows.h. Products of an amount and a count or a part may need more than 128 bits: they are
 * computed exactly, so that the results equal those of the contracts' 256-bit arithmetic. */
#include "chainlite/core/rows.h"

#include "chainlite/core/abi.h"

#include <string.h>

static const struct field version_fields[] = {
    FIELD(row_version, HASH, "item", item),
    FIELD(row_version, U32, "number", number),
    FIELD(row_version, HASH, "content_hash", content_hash),
    FIELD(row_version, HASH, "base_version", base_version),
    FIELD(row_version, ADDRESS, "payee", payee),
    FIELD(row_version, U32, "base_ppb", base_ppb),
    FIELD(row_version, HASH, "metadata", metadata),
};
const struct schema version_schema = SCHEMA("version", row_version, version_fields);

static const struct field price_fields[] = {
    FIELD(row_price, ADDRESS, "node", node),
    FIELD(row_price, HASH, "version", version),
    FIELD(row_price, U8, "tier", tier),
    FIELD(row_price, U64, "effective_time", effective_time),
    FIELD(row_price, WEI, "input_wei", input_wei),
    FIELD(row_price, WEI, "cached_wei", cached_wei),
    FIELD(row_price, WEI, "output_wei", output_wei),
    FIELD(row_price, WEI, "floor_wei", floor_wei),
    FIELD(row_price, WEI, "compute_wei", compute_wei),
};
const struct schema price_schema = SCHEMA("price", row_price, price_fields);

static const struct field split_fields[] = {
    FIELD(row_split, U32, "model_ppb", model_ppb),
    FIELD(row_split, U32, "data_ppb", data_ppb),
    FIELD(row_split, U32, "validators_ppb", validators_ppb),
    FIELD(row_split, U32, "node_ppb", node_ppb),
    FIELD(row_split, ADDRESS, "validators_pool", validators_pool),
    FIELD(row_split, ADDRESS, "unattributed_pool", unattributed_pool),
    FIELD(row_split, ADDRESS, "treasury", treasury),
};
const struct schema split_schema = SCHEMA("split", row_split, split_fields);

static const struct field part_fields[] = {
    FIELD(part, U8, "role", role),
    FIELD(part, ADDRESS, "beneficiary", beneficiary),
    FIELD(part, WEI, "amount", amount_wei),
};
const struct schema part_schema = SCHEMA("part", part, part_fields);

enum { NAME_MAX_BYTES = 128, ITEM_MAX_BYTES = 4 * 32 + NAME_MAX_BYTES };

void item_id(enum item_kind kind, const uint8_t owner[ADDRESS_BYTES], const char *name, uint8_t out[32])
{
    uint8_t data[ITEM_MAX_BYTES];
    struct abi_writer w;
    CHECK(strlen(name) <= NAME_MAX_BYTES);
    abi_writer_init(&w, data, sizeof data);
    abi_put_u64(&w, kind);
    abi_put_address(&w, owner);
    size_t place = abi_put_offset(&w);
    abi_set_offset(&w, place, 0);
    abi_put_bytes(&w, name, strlen(name));
    CHECK(!w.failed);
    keccak256(w.data, w.len, out);
}

static void add_u64(struct keccak *k, uint64_t value)
{
    uint8_t word[32];
    wei_to_be32(value, word);
    keccak_add(k, word, sizeof word);
}

/* Streams abi.encode(bytes32[], bytes32[], bytes32): two offsets and the record, then length and elements of each. */
void version_metadata(const uint8_t (*parents)[32], size_t n_parents, const uint8_t (*data_roots)[32], size_t n_roots,
                      const uint8_t training_record[32], uint8_t out[32])
{
    enum { HEAD_WORDS = 3 };
    struct keccak k;
    keccak_init(&k);
    add_u64(&k, HEAD_WORDS * 32);
    add_u64(&k, (HEAD_WORDS + 1 + n_parents) * 32);
    keccak_add(&k, training_record, 32);
    add_u64(&k, n_parents);
    keccak_add(&k, parents, n_parents * 32);
    add_u64(&k, n_roots);
    keccak_add(&k, data_roots, n_roots * 32);
    keccak_end(&k, out);
}

void version_id(const struct row_version *v, uint8_t out[32]) { schema_hash(&version_schema, v, NULL, out); }
void price_id(const struct row_price *p, uint8_t out[32]) { schema_hash(&price_schema, p, NULL, out); }
void split_id(const struct row_split *s, uint8_t out[32]) { schema_hash(&split_schema, s, NULL, out); }

/* Σ tokens · wei in halves: value = high · 2⁶⁴ + low. Each product is below 2⁹⁷ (counts below 2³³), so a few of them
 * never overflow. */
struct wide {
    wei_t high, low;
};

static void wide_add(struct wide *sum, uint64_t tokens, wei_t price_wei)
{
    sum->high += tokens * (price_wei >> 64);
    sum->low += tokens * (price_wei & UINT64_MAX);
}

enum { PRICED_TOKENS = 1000000 }; /* prices are per million tokens */

static bool wide_per_million(const struct wide *sum, wei_t *out)
{
    wei_t high = sum->high / PRICED_TOKENS, rest = sum->high % PRICED_TOKENS;
    if (high > UINT64_MAX)
        return false;
    return wei_add(high << 64, ((rest << 64) + sum->low) / PRICED_TOKENS, out);
}

int fee_of(const struct row_price *price, uint32_t prompt_tokens, uint32_t cached_tokens, uint32_t output_tokens,
           enum proof_status status, struct fee *out, struct err *e)
{
    *out = (struct fee){0};
    if (cached_tokens > prompt_tokens)
        return err_set(e, OL_EINVAL, "rows", "%u cached tokens of a prompt of %u", cached_tokens, prompt_tokens);
    if (output_tokens == 0 || status == STATUS_FAILED)
        return 0;
    uint32_t uncached = prompt_tokens - cached_tokens;
    struct wide royalty = {0}, compute = {0};
    wide_add(&royalty, uncached, price->input_wei);
    wide_add(&royalty, cached_tokens, price->cached_wei);
    wide_add(&royalty, output_tokens, price->output_wei);
    wide_add(&compute, (uint64_t)uncached + output_tokens, price->compute_wei);
    struct fee fee;
    wei_t total;
    if (!wide_per_million(&royalty, &fee.royalty_wei) || !wide_per_million(&compute, &fee.compute_wei))
        return err_set(e, OL_ELIMIT, "rows", "the fee exceeds 128 bits; the price is too high");
    if (fee.royalty_wei < price->floor_wei)
        fee.royalty_wei = price->floor_wei;
    if (!wei_add(fee.royalty_wei, fee.compute_wei, &total))
        return err_set(e, OL_ELIMIT, "rows", "the fee exceeds 128 bits; the price is too high");
    *out = fee;
    return 0;
}

wei_t wei_part(wei_t amount, uint32_t ppb) { return amount / PPB * ppb + amount % PPB * ppb / PPB; }

struct part_writer {
    struct part *out;
    int n;
};

static void put_part(struct part_writer *w, enum role role, const uint8_t beneficiary[ADDRESS_BYTES], wei_t amount)
{
    if (amount == 0)
        return;
    struct part *p = &w->out[w->n++];
    memcpy(p->beneficiary, beneficiary, ADDRESS_BYTES);
    p->role = (uint8_t)role;
    p->amount_wei = amount;
}

static const uint8_t *payee_of(const struct row_version *v, const struct row_split *split)
{
    static const uint8_t nobody[ADDRESS_BYTES];
    return memcmp(v->payee, nobody, ADDRESS_BYTES) == 0 ? split->treasury : v->payee;
}

int parts_of(const struct fee *fee, const struct row_split *split, const struct row_version *top,
             const struct row_version *base, const uint8_t node[ADDRESS_BYTES], struct part out[MAX_PARTS_PER_RECEIPT],
             int *n, struct err *e)
{
    const uint32_t ppb[] = {split->model_ppb, split->data_ppb, split->validators_ppb, split->node_ppb};
    enum { MODEL, DATA, VALIDATORS, NODE, PARTS };
    wei_t amount[PARTS];
    uint64_t sum = 0;
    for (int i = 0; i < PARTS; i++)
        sum += ppb[i];
    if (sum != PPB)
        return err_set(e, OL_EINVAL, "rows", "the split's parts sum to %llu of 10^9", (unsigned long long)sum);
    if (top->base_ppb > PPB)
        return err_set(e, OL_EINVAL, "rows", "a base part of %u of 10^9", top->base_ppb);
    uint32_t until = 0;
    for (int i = 0; i < PARTS; i++) { /* prefix rounding: the parts sum to the royalty exactly */
        amount[i] = wei_part(fee->royalty_wei, until + ppb[i]) - wei_part(fee->royalty_wei, until);
        until += ppb[i];
    }
    wei_t to_base = base ? wei_part(amount[MODEL], top->base_ppb) : 0;
    struct part_writer w = {out, 0};
    put_part(&w, ROLE_MODEL, payee_of(top, split), amount[MODEL] - to_base);
    put_part(&w, ROLE_BASE, base ? payee_of(base, split) : split->treasury, to_base);
    put_part(&w, ROLE_DATA, split->unattributed_pool, amount[DATA]);
    put_part(&w, ROLE_VALIDATORS, split->validators_pool, amount[VALIDATORS]);
    put_part(&w, ROLE_NODE, node, amount[NODE]);
    put_part(&w, ROLE_COMPUTE, node, fee->compute_wei);
    *n = w.n;
    return 0;
}
