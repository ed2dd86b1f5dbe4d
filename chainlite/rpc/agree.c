/* One block hash out of the answers of k of n endpoints.
 *
 * Height: the highest that k of the fresh endpoints have reached, so neither a lagging endpoint nor one that invents a
 * far head decides it. Who is ahead is asked again at that height; who is behind does not vote. Hash: k votes, and no
 * other hash with k votes. Who voted for another hash is named and counted. */
#include "chainlite/rpc/light_internal.h"
#include "base/clock.h"
#include "chainlite/rpc/fields.h"

#include <inttypes.h>
#include <string.h>

/* Parses the blocks of `set`; those that are none become faults. Returns who has one. */
static unsigned read_claims(struct rpc *rpc, unsigned set, struct rpc_answers *blocks, struct block_claim *claims)
{
    unsigned good = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        struct rpc_answer *a = &blocks->of[i];
        if (!set_has(set, i) || a->fault != RPC_FINE)
            continue;
        if (json_is_null(a->result)) {
            answer_deinit(a);
            answer_fault(a, RPC_REFUSED, "it has no such block");
        } else if (!block_claim(a->result, &claims[i])) {
            rpc_blame(rpc, i, a, RPC_MALFORMED, "its block has no number, timestamp or hash");
        } else {
            good |= 1u << i;
        }
    }
    return good;
}

static unsigned drop_stale(struct rpc *rpc, unsigned set, struct rpc_answers *blocks, const struct block_claim *claims,
                           uint64_t max_age_s)
{
    uint64_t now_s = (uint64_t)(clock_unix_ms() / 1000);
    for (size_t i = 0; max_age_s && i < rpc->n; i++) {
        if (!set_has(set, i) || claims[i].timestamp >= now_s || now_s - claims[i].timestamp <= max_age_s)
            continue;
        rpc_blame(rpc, i, &blocks->of[i], RPC_STALE, "its head %" PRIu64 " is %" PRIu64 " s old", claims[i].number,
                  now_s - claims[i].timestamp);
        set &= ~(1u << i);
    }
    return set;
}

/* The height that at least k of the set have reached; 0 when there are not k. */
static uint64_t common_height(const struct rpc *rpc, unsigned set, const struct block_claim *claims)
{
    uint64_t height = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        unsigned reached = 0;
        for (size_t j = 0; set_has(set, i) && j < rpc->n; j++)
            reached += set_has(set, j) && claims[j].number >= claims[i].number;
        if (reached >= rpc->config.quorum && claims[i].number > height)
            height = claims[i].number;
    }
    return height;
}

/* Names those more than max_head_lag blocks behind the common height; and when fewer than k stand near it, those behind
 * the best head, for then nobody knows who is right. */
static unsigned drop_behind(struct rpc *rpc, unsigned set, struct rpc_answers *blocks, const struct block_claim *claims,
                            uint64_t height)
{
    uint64_t best = height, lag = rpc->config.max_head_lag;
    unsigned near = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(set, i))
            continue;
        uint64_t number = claims[i].number;
        near += (number > height ? number - height : height - number) <= lag;
        if (claims[i].number > best)
            best = claims[i].number;
    }
    if (near >= rpc->config.quorum)
        best = height;
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(set, i) || claims[i].number >= best || best - claims[i].number <= lag)
            continue;
        rpc_blame(rpc, i, &blocks->of[i], RPC_BEHIND, "its head %" PRIu64 " is behind %" PRIu64, claims[i].number,
                  best);
        set &= ~(1u << i);
    }
    return set;
}

/* Replaces the blocks of those ahead of the height by their blocks at it. */
static int ask_at_height(struct rpc *rpc, unsigned ahead, uint64_t height, struct rpc_answers *blocks,
                         struct block_claim *claims, unsigned *have, struct err *e)
{
    struct rpc_answers again;
    json_t *params = json_pack("[o,b]", json_quantity(height), 0);
    if (!params)
        return err_set(e, OL_ENOMEM, "light", "no memory for a question");
    int rc = rpc_ask_set(rpc, ahead, "eth_getBlockByNumber", params, &again, e);
    json_decref(params);
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(ahead, i))
            continue;
        answer_deinit(&blocks->of[i]);
        blocks->of[i] = again.of[i];
    }
    if (!rc)
        *have = read_claims(rpc, ahead, blocks, claims);
    return rc;
}

static unsigned voters_for(const struct rpc *rpc, unsigned set, const struct block_claim *claims, size_t of)
{
    unsigned voters = 0;
    for (size_t i = 0; i < rpc->n; i++)
        if (set_has(set, i) && !memcmp(claims[i].hash, claims[of].hash, HASH_BYTES))
            voters |= 1u << i;
    return voters;
}

/* The vote at one height. The set's claims are all of that height. */
static int vote(struct rpc *rpc, unsigned set, const struct block_claim *claims, struct agreement *out, struct err *e)
{
    unsigned best = 0, second = 0, k = rpc->config.quorum;
    for (size_t i = 0; i < rpc->n; i++) {
        unsigned voters = set_has(set, i) ? voters_for(rpc, set, claims, i) : 0;
        if (__builtin_popcount(voters) > __builtin_popcount(best)) {
            second = best;
            best = voters;
            out->block = claims[i];
        } else if (voters != best && __builtin_popcount(voters) > __builtin_popcount(second)) {
            second = voters;
        }
    }
    bool agreed = (unsigned)__builtin_popcount(best) >= k && (unsigned)__builtin_popcount(second) < k;
    unsigned contradicted = agreed ? set & ~best : second ? set : 0;
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(contradicted, i))
            continue;
        struct rpc_answer *a = &out->blocks.of[i];
        char said[RPC_MESSAGE_BYTES];
        const uint8_t *h = claims[i].hash;
        snprintf(said, sizeof said, "its block %" PRIu64 " is %02x%02x%02x%02x…", claims[i].number, h[0], h[1], h[2],
                 h[3]);
        if (agreed) { /* k others know better: it counts against the endpoint */
            rpc_blame(rpc, i, a, RPC_DISAGREES, "%s", said);
        } else {
            answer_deinit(a);
            answer_fault(a, RPC_DISAGREES, "%s", said);
        }
    }
    out->voters = best;
    if (agreed)
        return OL_OK;
    return rpc_explain(rpc, &out->blocks, OL_EIO, e, "%s: %d of %u agree on a block",
                       second ? "disagrees" : "no_quorum", __builtin_popcount(best), k);
}

/* Too few fresh heads: says why with the fault that is to blame, if it is one and the same. */
static int too_few(const struct rpc *rpc, const struct rpc_answers *blocks, unsigned have, const char *of,
                   struct err *e)
{
    enum rpc_fault fault = RPC_FINE;
    for (size_t i = 0; i < rpc->n; i++)
        if (blocks->of[i].fault == RPC_STALE || blocks->of[i].fault == RPC_BEHIND)
            fault = blocks->of[i].fault;
    return rpc_explain(rpc, blocks, OL_EIO, e, "%s: %d of %u have the %s block",
                       fault == RPC_FINE ? "no_quorum" : rpc_fault_name(fault), __builtin_popcount(have),
                       rpc->config.quorum, of);
}

int agree_on_tag(struct rpc *rpc, const char *tag, uint64_t max_age_s, struct agreement *out, struct err *e)
{
    struct block_claim claims[RPC_MAX_ENDPOINTS];
    memset(out, 0, sizeof *out);
    json_t *params = json_pack("[s,b]", tag, 0);
    if (!params)
        return err_set(e, OL_ENOMEM, "light", "no memory for a question");
    int rc = rpc_ask(rpc, "eth_getBlockByNumber", params, &out->blocks, e);
    json_decref(params);
    if (rc)
        return rc;
    unsigned have = read_claims(rpc, (1u << rpc->n) - 1, &out->blocks, claims), k = rpc->config.quorum;
    for (size_t i = 0; i < rpc->n; i++)
        if (set_has(have, i) && !strcmp(tag, "latest"))
            rpc->of[i].head = claims[i].number;
    have = drop_stale(rpc, have, &out->blocks, claims, max_age_s);
    uint64_t height = common_height(rpc, have, claims);
    if ((unsigned)__builtin_popcount(have) >= k)
        have = drop_behind(rpc, have, &out->blocks, claims, height);
    if ((unsigned)__builtin_popcount(have) < k)
        return too_few(rpc, &out->blocks, have, tag, e);
    unsigned ahead = 0, level = 0, got = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        if (set_has(have, i) && claims[i].number > height)
            ahead |= 1u << i;
        if (set_has(have, i) && claims[i].number == height)
            level |= 1u << i;
    }
    if (ahead)
        rc = ask_at_height(rpc, ahead, height, &out->blocks, claims, &got, e);
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(got, i) || claims[i].number == height)
            continue;
        rpc_blame(rpc, i, &out->blocks.of[i], RPC_MALFORMED, "it answers with another block");
        got &= ~(1u << i);
    }
    return rc ? rc : vote(rpc, level | got, claims, out, e);
}

int agree_on_number(struct rpc *rpc, uint64_t number, struct agreement *out, struct err *e)
{
    struct block_claim claims[RPC_MAX_ENDPOINTS];
    memset(out, 0, sizeof *out);
    unsigned have = 0, missing = 0;
    out->blocks.n = rpc->n;
    for (size_t i = 0; i < rpc->n; i++)
        answer_fault(&out->blocks.of[i], RPC_NOT_ASKED, "%s", rpc->of[i].last_message);
    int rc = ask_at_height(rpc, rpc_available(rpc), number, &out->blocks, claims, &have, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < rpc->n; i++) {
        missing += out->blocks.of[i].fault == RPC_REFUSED;
        if (set_has(have, i) && claims[i].number != number) {
            rpc_blame(rpc, i, &out->blocks.of[i], RPC_MALFORMED, "it answers with another block");
            have &= ~(1u << i);
        }
    }
    if (missing >= rpc->config.quorum)
        return rpc_explain(rpc, &out->blocks, OL_ENOTFOUND, e, "not_found: there is no block %" PRIu64 " yet", number);
    return vote(rpc, have, claims, out, e);
}
