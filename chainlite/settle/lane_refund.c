/* Giving claims back that no batch covers: after a conviction or a new epoch the Escrow has opened them for refund, newest
 * chunk first. Anyone may send that, and a node that goes on owes it to its payers, so the lane does.
 *
 * A chunk's pairs are in the event of its claim; whoever answers with them is believed when they hash to the refund's
 * cursor, as proven, which is what the contract asks as well. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIR_BYTES = ADDRESS_BYTES + 16,
    MAX_PAIRS_BYTES = CALL_MAX_CLAIMS * PAIR_BYTES,
    EVENT_BYTES = 3 * ABI_WORD_BYTES + MAX_PAIRS_BYTES + ABI_WORD_BYTES,
    REFUND_BYTES = 4 + 5 * ABI_WORD_BYTES + MAX_PAIRS_BYTES + ABI_WORD_BYTES,
    REFUND_GAS = 60000,
    PAIR_GAS = 10000,
    RECENT = LIGHT_MAX_SLOTS / 2, /* refunds that are looked at: earlier ones are long finished */
    REFUND_LOOK_MS = 5000
};

struct chunk_wanted {
    const uint8_t *cursor;
    uint8_t previous[32], pairs[MAX_PAIRS_BYTES];
    size_t len;
};

/* The event's data: previous hash, offset and length of the pairs, the pairs. */
static bool read_event(const char *hex, struct chunk_wanted *want)
{
    uint8_t data[EVENT_BYTES], pairs_hash[HASH_BYTES], hash[HASH_BYTES];
    struct keccak k;
    wei_t len;
    size_t n = strlen(hex) / 2 - 1;
    if (n < 3 * ABI_WORD_BYTES || n > sizeof data || !hex_decode(hex, data, n) ||
        !wei_from_be32(data + 2 * ABI_WORD_BYTES, &len) || len > n - 3 * ABI_WORD_BYTES || len > MAX_PAIRS_BYTES)
        return false;
    keccak256(data + 3 * ABI_WORD_BYTES, (size_t)len, pairs_hash);
    keccak_init(&k);
    keccak_add(&k, data, 32);
    keccak_add(&k, pairs_hash, sizeof pairs_hash);
    keccak_end(&k, hash);
    if (memcmp(hash, want->cursor, sizeof hash) != 0)
        return false;
    memcpy(want->previous, data, 32);
    memcpy(want->pairs, data + 3 * ABI_WORD_BYTES, (size_t)len);
    want->len = (size_t)len;
    return true;
}

static enum rpc_fault take_logs(void *user, size_t endpoint, const json_t *result, char *message)
{
    (void)endpoint;
    for (size_t i = json_array_size(result); i-- > 0;) {
        const char *data = json_string_value(json_object_get(json_array_get(result, i), "data"));
        if (data && read_event(data, user))
            return RPC_FINE;
    }
    snprintf(message, RPC_MESSAGE_BYTES, "no event holds the claims to be given back");
    return RPC_MALFORMED;
}

static int find_chunk(struct lane *l, struct chunk_wanted *want, struct err *e)
{
    static const char event[] = "Claimed(address,bytes32,bytes)";
    uint8_t topic[2][32];
    char text[2][67] = {"0x", "0x"}, address[ADDRESS_TEXT_BYTES];
    keccak256(event, sizeof event - 1, topic[0]);
    mpt_word_address(l->config.node, topic[1]);
    for (int i = 0; i < 2; i++)
        hex_encode(topic[i], 32, text[i] + 2);
    address_format(l->config.escrow, address);
    json_t *params = json_pack("[{s:s,s:s,s:s,s:[s,s]}]", "fromBlock", "0x0", "toBlock", "latest", "address", address,
                               "topics", text[0], text[1]);
    if (!params)
        return err_set(e, OL_ENOMEM, "lane", "no memory for a question");
    int rc = rpc_ask_until(l->rpc, "eth_getLogs", params, take_logs, want, e);
    json_decref(params);
    return rc;
}

/* The newest refund that is not finished; OL_ENOTFOUND. */
static int find_refund(struct lane *l, uint64_t *index, uint8_t cursor[32], struct err *e)
{
    uint8_t slot[2 * RECENT][32], word[2 * RECENT][32];
    wei_t count;
    slot_escrow_refunds(l->config.node, slot[0]);
    int rc = light_storage(l->light, &l->chain.head, l->config.escrow, (const uint8_t(*)[32])slot, 1, word, NULL, e);
    if (rc || !wei_from_be32(word[0], &count) || !count)
        return rc ? rc : OL_ENOTFOUND;
    uint64_t all = (uint64_t)count, n = all < RECENT ? all : RECENT;
    for (uint64_t i = 0; i < 2 * n; i++)
        slot_escrow_refund(l->config.node, all - 1 - i / 2, i % 2, slot[i]);
    rc = light_storage(l->light, &l->chain.head, l->config.escrow, (const uint8_t(*)[32])slot, 2 * n, word, NULL, e);
    for (uint64_t i = 0; i < n && !rc; i++)
        if (memcmp(word[2 * i], word[2 * i + 1], 32) != 0) {
            *index = all - 1 - i;
            memcpy(cursor, word[2 * i], 32);
            return 0;
        }
    return rc ? rc : OL_ENOTFOUND;
}

static int send_refund(struct lane *l, uint64_t index, const struct chunk_wanted *chunk, struct err *e)
{
    uint8_t data[REFUND_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, data, sizeof data);
    call_escrow_refund(&w, l->config.node, index, chunk->previous, chunk->pairs, chunk->len);
    CHECK(!w.failed);
    struct lane_request r = {.purpose = TX_OTHER, .to = l->config.escrow, .data = data, .len = w.len,
                             .gas_bound = REFUND_GAS + chunk->len / PAIR_BYTES * PAIR_GAS};
    log_line(LOG_INFO, "lane", "giving %zu claims back to their payers", chunk->len / PAIR_BYTES);
    return lane_send(l, &r, e);
}

int refund_step(struct lane *l, bool *sent, struct err *e)
{
    uint8_t cursor[32];
    uint64_t index;
    struct chunk_wanted chunk = {.cursor = cursor};
    *sent = false;
    if (clock_unix_ms() < l->refund_again_ms)
        return 0;
    int rc = find_refund(l, &index, cursor, e);
    if (rc == OL_ENOTFOUND) {
        l->refund_again_ms = clock_unix_ms() + REFUND_LOOK_MS;
        return 0;
    }
    if (!rc)
        rc = find_chunk(l, &chunk, e);
    if (!rc)
        rc = send_refund(l, index, &chunk, e);
    *sent = !rc;
    if (rc) { /* payers can do it themselves; it must not hold up what else there is */
        l->refund_again_ms = clock_unix_ms() + LANE_BACKOFF_MS;
        lane_warn(l, "claims cannot be given back: %s", e->message);
    }
    return 0;
}
