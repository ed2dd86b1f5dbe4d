/* Heads: the agreed hash, the header that hashes to it. */
#include "chainlite/rpc/light_internal.h"
#include "base/clock.h"
#include "chainlite/rpc/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int light_open(struct rpc *rpc, struct light **out, struct err *e)
{
    struct light *light = calloc(1, sizeof *light);
    if (!light)
        return err_set(e, OL_ENOMEM, "light", "no memory for the light client");
    light->rpc = rpc;
    *out = light;
    return OL_OK;
}

void light_close(struct light *light) { free(light); }

const char *trust_level_name(enum trust_level level)
{
    static const char *const names[] = {"quorum", "signed", "proposed", "anchored"};
    return (unsigned)level < sizeof names / sizeof *names ? names[level] : "unknown";
}

int64_t light_age_s(const struct light_head *head)
{
    int64_t now_s = clock_unix_ms() / 1000;
    if (head->timestamp > INT64_MAX || (int64_t)head->timestamp >= now_s)
        return 0;
    return now_s - (int64_t)head->timestamp;
}

void light_head_fill(struct light_head *head, const struct header *h)
{
    memcpy(head->hash, h->hash, HASH_BYTES);
    memcpy(head->parent_hash, h->parent_hash, HASH_BYTES);
    memcpy(head->state_root, h->state_root, HASH_BYTES);
    memcpy(head->receipts_root, h->receipts_root, HASH_BYTES);
    head->has_withdrawals_root = h->has_withdrawals_root;
    if (h->has_withdrawals_root)
        memcpy(head->withdrawals_root, h->withdrawals_root, HASH_BYTES);
    head->number = h->number;
    head->timestamp = h->timestamp;
    head->gas_limit = h->gas_limit;
    head->gas_used = h->gas_used;
    head->base_fee_wei = h->base_fee_wei;
    head->read_at_ms = clock_unix_ms();
}

/* Takes the header in head->rlp if it hashes to `hash` and keeps to the fork's rules; *e says why not. */
static int take_header(const struct light *light, const uint8_t hash[HASH_BYTES], struct light_head *head,
                       struct err *e)
{
    struct header h;
    uint8_t own[HASH_BYTES];
    keccak256(head->rlp, head->rlp_len, own);
    if (memcmp(own, hash, HASH_BYTES))
        return err_set(e, OL_EFORMAT, "light", "the header does not have this hash");
    int rc = header_parse(head->rlp, head->rlp_len, &light->rpc->config.rules, &h, e);
    if (rc)
        return rc;
    light_head_fill(head, &h);
    head->trust = TRUST_QUORUM;
    return OL_OK;
}

struct header_taker {
    const struct light *light;
    const uint8_t *hash;
    struct light_head *out;
};

static enum rpc_fault take(struct header_taker *t, char *message)
{
    struct err why;
    if (take_header(t->light, t->hash, t->out, &why) == OL_OK)
        return RPC_FINE;
    clean_text(why.message, message, RPC_MESSAGE_BYTES);
    return RPC_BAD_HEADER;
}

static enum rpc_fault take_raw(void *user, size_t endpoint, const json_t *result, char *message)
{
    struct header_taker *t = user;
    (void)endpoint;
    if (json_is_null(result)) {
        snprintf(message, RPC_MESSAGE_BYTES, "it has no such block");
        return RPC_REFUSED;
    }
    if (!field_length(result, &t->out->rlp_len) || t->out->rlp_len > LIGHT_HEADER_BYTES ||
        !field_bytes(result, t->out->rlp, t->out->rlp_len)) {
        snprintf(message, RPC_MESSAGE_BYTES, "not the bytes of a header");
        return RPC_MALFORMED;
    }
    return take(t, message);
}

/* A block whose fields do not make up its hash may have a field that this version does not know: refused, not a lie,
 * as long as the raw header has not been seen. */
static enum rpc_fault take_block(void *user, size_t endpoint, const json_t *result, char *message)
{
    struct header_taker *t = user;
    (void)endpoint;
    if (json_is_null(result)) {
        snprintf(message, RPC_MESSAGE_BYTES, "it has no such block");
        return RPC_REFUSED;
    }
    if (block_header(result, t->out->rlp, LIGHT_HEADER_BYTES, &t->out->rlp_len) && take(t, message) == RPC_FINE)
        return RPC_FINE;
    if (!*message)
        snprintf(message, RPC_MESSAGE_BYTES, "its block lacks fields of a header");
    return RPC_REFUSED;
}

/* block: the hash or the number, for nodes differ in which of them they take; taken over. */
static int raw_header(struct light *light, json_t *block, const uint8_t hash[HASH_BYTES], struct light_head *out,
                      struct err *e)
{
    struct header_taker t = {light, hash, out};
    json_t *params = json_pack("[o]", block);
    if (!params)
        return err_set(e, OL_ENOMEM, "light", "no memory for a question");
    int rc = rpc_ask_until(light->rpc, "debug_getRawHeader", params, take_raw, &t, e);
    json_decref(params);
    return rc;
}

/* The header of the agreed block: from the voters' own fields, which costs no further question, else raw. */
static int agreed_header(struct light *light, struct agreement *agreed, struct light_head *out, struct err *e)
{
    struct rpc *rpc = light->rpc;
    struct header_taker t = {light, agreed->block.hash, out};
    unsigned failed = 0;
    bool found = false;
    char message[RPC_MESSAGE_BYTES];
    for (size_t i = 0; i < rpc->n && !found; i++) {
        if (!set_has(agreed->voters, i))
            continue;
        message[0] = '\0';
        found = take_block(&t, i, agreed->blocks.of[i].result, message) == RPC_FINE;
        if (!found)
            failed |= 1u << i;
    }
    for (size_t i = 0; i < rpc->n && found; i++)
        if (set_has(failed, i)) /* others have shown that the fields known here are enough */
            rpc_blame(rpc, i, &agreed->blocks.of[i], RPC_BAD_HEADER, "its block's fields do not make up its hash");
    if (found)
        return OL_OK;
    int rc = raw_header(light, json_hex(agreed->block.hash, HASH_BYTES), agreed->block.hash, out, e);
    if (rc == OL_EIO)
        rc = raw_header(light, json_quantity(agreed->block.number), agreed->block.hash, out, e);
    return rc ? err_prefix(e, "bad_header: %s", message) : OL_OK;
}

static int finish(struct light *light, struct agreement *agreed, struct light_head *out, struct err *e)
{
    int rc = agreed_header(light, agreed, out, e);
    out->endpoints = (unsigned)__builtin_popcount(agreed->voters);
    if (!rc && out->number != agreed->block.number)
        rc = err_set(e, OL_EFORMAT, "light", "bad_header: the block of height %" PRIu64 " says it is %" PRIu64,
                     agreed->block.number, out->number);
    return rc;
}

int light_head(struct light *light, enum light_tag tag, struct light_head *out, struct err *e)
{
    static const char *const names[LIGHT_TAGS] = {"latest", "safe", "finalized"};
    CHECK((unsigned)tag < LIGHT_TAGS);
    struct agreement agreed;
    const struct rpc_config *config = &light->rpc->config;
    uint64_t max_age_s = tag == LIGHT_LATEST ? config->max_head_age_s : 0;
    int rc = agree_on_tag(light->rpc, names[tag], max_age_s, &agreed, e);
    if (!rc)
        rc = finish(light, &agreed, out, e);
    rpc_answers_deinit(&agreed.blocks);
    if (rc)
        return rc;
    /* The claims' times were checked before the vote; the agreed header's own time is what counts. */
    if (max_age_s && (uint64_t)light_age_s(out) > max_age_s)
        return err_set(e, OL_EIO, "light", "stale: head %" PRIu64 " is %lld s old, %" PRIu64 " at most", out->number,
                       (long long)light_age_s(out), max_age_s);
    uint64_t *best = &light->best_head[tag];
    if (out->number < *best && *best - out->number > config->max_head_lag)
        return err_set(e, OL_EIO, "light", "stale: %s head %" PRIu64 " after %" PRIu64 " had been seen", names[tag],
                       out->number, *best);
    if (out->number > *best)
        *best = out->number;
    return OL_OK;
}

int light_head_at(struct light *light, uint64_t number, struct light_head *out, struct err *e)
{
    struct agreement agreed;
    int rc = agree_on_number(light->rpc, number, &agreed, e);
    if (!rc)
        rc = finish(light, &agreed, out, e);
    rpc_answers_deinit(&agreed.blocks);
    return rc;
}

int light_head_of(struct light *light, const uint8_t hash[HASH_BYTES], struct light_head *out, struct err *e)
{
    struct header_taker t = {light, hash, out};
    struct err first;
    out->endpoints = 0;
    json_t *params = json_pack("[o,b]", json_hex(hash, HASH_BYTES), 0);
    if (!params)
        return err_set(e, OL_ENOMEM, "light", "no memory for a question");
    int rc = rpc_ask_until(light->rpc, "eth_getBlockByHash", params, take_block, &t, &first);
    json_decref(params);
    if (rc == OL_EIO)
        return raw_header(light, json_hex(hash, HASH_BYTES), hash, out, e);
    return rc ? err_set(e, rc, "light", "%s", first.message) : OL_OK;
}
