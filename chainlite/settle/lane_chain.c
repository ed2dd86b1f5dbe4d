/* What the lane reads from the chain: always storage, proven at one verified head; see lane_internal.h. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"

#include <string.h>

static uint64_t be64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static int read_account(struct lane *l, struct chain_state *out, struct err *e)
{
    struct mpt_account account;
    int rc = light_account(l->light, &out->head, l->config.node, &account, NULL, e);
    if (rc)
        return rc;
    out->nonce = account.nonce;
    if (!wei_from_be32(account.balance_wei, &out->balance_wei))
        out->balance_wei = ~(wei_t)0;
    return 0;
}

static int read_settlement(struct lane *l, struct chain_state *out, struct err *e)
{
    uint8_t slot[2][32], word[2][32];
    slot_settlement_node(l->config.node, 0, slot[0]);
    slot_settlement_node(l->config.node, 1, slot[1]);
    int rc = light_storage(l->light, &out->head, l->config.settlement, (const uint8_t(*)[32])slot, 2, word, NULL, e);
    if (rc)
        return rc == OL_ENOTFOUND ? err_prefix(e, "the settlement contract") : rc;
    /* Solidity packs from the lowest byte, which is the last of the big-endian word. */
    out->epoch = be64(word[0] + 24);
    out->last = be64(word[0] + 16);
    out->finalised = be64(word[0] + 8);
    out->frozen = out->epoch && be64(word[0]) == out->epoch; /* the epoch of the latest slash */
    out->bond_wei = wei_from_be16(word[1] + 16);
    out->finalised_cumulative_wei = wei_from_be16(word[1]);
    return 0;
}

static int read_escrow(struct lane *l, struct chain_state *out, struct err *e)
{
    uint8_t slot[2][32], word[2][32];
    slot_escrow_node(l->config.node, 0, slot[0]);
    slot_escrow_node(l->config.node, 1, slot[1]);
    int rc = light_storage(l->light, &out->head, l->config.escrow, (const uint8_t(*)[32])slot, 2, word, NULL, e);
    if (rc)
        return rc == OL_ENOTFOUND ? err_prefix(e, "the escrow contract") : rc;
    out->collected_wei = wei_from_be16(word[0] + 16);
    memcpy(out->claims_hash, word[1], 32);
    return 0;
}

int chain_read(struct lane *l, struct chain_state *out, struct err *e)
{
    *out = (struct chain_state){0};
    int rc = light_head(l->light, LIGHT_LATEST, &out->head, e);
    if (!rc)
        rc = read_account(l, out, e);
    if (!rc)
        rc = read_settlement(l, out, e);
    return rc ? rc : read_escrow(l, out, e);
}

int chain_accounts(struct lane *l, const uint8_t (*payers)[ADDRESS_BYTES], size_t n, struct chain_account *out,
                   struct err *e)
{
    uint8_t slot[LIGHT_MAX_SLOTS][32], word[LIGHT_MAX_SLOTS][32];
    for (size_t at = 0; at < n; at += LIGHT_MAX_SLOTS) {
        size_t take = n - at < LIGHT_MAX_SLOTS ? n - at : LIGHT_MAX_SLOTS;
        for (size_t i = 0; i < take; i++)
            slot_escrow_account(payers[at + i], l->config.node, slot[i]);
        int rc = light_storage(l->light, &l->chain.head, l->config.escrow, (const uint8_t(*)[32])slot, take, word, NULL,
                               e);
        if (rc)
            return rc;
        for (size_t i = 0; i < take; i++)
            out[at + i] = (struct chain_account){wei_from_be16(word[i] + 16), wei_from_be16(word[i])};
    }
    return 0;
}

int chain_registered(struct lane *l, const uint8_t (*ids)[32], size_t n, bool *out, struct err *e)
{
    static const uint8_t never[32];
    uint8_t slot[LIGHT_MAX_SLOTS][32], word[LIGHT_MAX_SLOTS][32];
    for (size_t at = 0; at < n; at += LIGHT_MAX_SLOTS) {
        size_t take = n - at < LIGHT_MAX_SLOTS ? n - at : LIGHT_MAX_SLOTS;
        for (size_t i = 0; i < take; i++)
            slot_registered(ids[at + i], slot[i]);
        int rc = light_storage(l->light, &l->chain.head, l->config.registry, (const uint8_t(*)[32])slot, take, word,
                               NULL, e);
        if (rc)
            return rc;
        for (size_t i = 0; i < take; i++)
            out[at + i] = memcmp(word[i], never, 32) != 0;
    }
    return 0;
}
