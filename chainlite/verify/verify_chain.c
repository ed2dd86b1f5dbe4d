/* Checks that ask an endpoint; see verify_chain.h. */
#include "chainlite/verify/verify_chain.h"

#include "chainlite/core/hex.h"
#include "chainlite/rpc/light.h"

#include <stdio.h>
#include <string.h>

static void set(struct verify_result *r, enum verify_outcome outcome, const char *reason)
{
    r->outcome = outcome;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

struct question {
    const struct bundle *bundle;
    const struct chain_file *chain;
    struct light *light;
    struct light_head newest;
};

static int read_slot(struct question *q, const char *contract, const uint8_t slot[32], uint8_t value[32], struct err *e)
{
    const uint8_t *address = chain_file_contract(q->chain, contract);
    if (!address)
        return err_set(e, OL_EINVAL, "verify", "the data file of %s names no %s", q->chain->name, contract);
    return light_storage(q->light, &q->newest, address, (const uint8_t(*)[32])slot, 1, (uint8_t(*)[32])value, NULL, e);
}

/* The contracts' time at the newest block; OL_…: the chain does not tell. */
static int read_clock(struct question *q, uint64_t *now, struct err *e)
{
    uint8_t slot[32], pauses[32];
    slot_clock_pauses(slot);
    int rc = read_slot(q, "Clock", slot, pauses, e);
    if (rc == 0)
        *now = clock_time(pauses, q->newest.timestamp);
    return rc;
}

/* The block of this height is the bundle's block, and the newest block's state still has the batch. */
static int check_block(struct question *q, struct verify_place *place, struct err *e)
{
    const struct bundle_settlement *s = &q->bundle->settlement;
    struct header_rules rules;
    struct header header;
    struct light_head there;
    uint64_t now;
    uint8_t slot[32], value[32], hash[HASH_BYTES];
    chain_file_rules(q->chain, &rules);
    int rc = header_parse(s->block_header.at, s->block_header.n, &rules, &header, e);
    if (!rc)
        rc = light_head_at(q->light, header.number, &there, e);
    if (rc)
        return rc;
    if (memcmp(there.hash, s->block_hash, HASH_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "verify", "block %llu of the chain is another one",
                       (unsigned long long)header.number);
    slot_batch(s->batch.node, s->batch.number, slot);
    batch_hash(&s->batch, hash);
    rc = read_slot(q, "Settlement", slot, value, e);
    if (rc)
        return rc;
    if (memcmp(value, hash, HASH_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "verify", "the batch stood at block %llu and is void at block %llu",
                       (unsigned long long)header.number, (unsigned long long)q->newest.number);
    *place = (struct verify_place){
        .block_number = header.number,
        .head_number = q->newest.number,
        .block_age_s = light_age_s(&there),
        .past_window = q->chain->window_s.known && read_clock(q, &now, e) == 0 && now >= s->batch.submitted_at &&
                       now - s->batch.submitted_at >= q->chain->window_s.value,
    };
    return 0;
}

/* The Escrow keeps for each signer until when it may sign, in the clock's seconds. Where the clock cannot be read the
 * block's time is taken, which the clock never runs ahead of. */
static int check_signer(struct question *q, const uint8_t signer[ADDRESS_BYTES], struct err *e)
{
    uint8_t slot[32], value[32];
    uint64_t now;
    wei_t until;
    char text[ADDRESS_TEXT_BYTES];
    slot_escrow_signer(q->bundle->voucher.voucher.payer, signer, slot);
    int rc = read_slot(q, "Escrow", slot, value, e);
    if (rc)
        return rc;
    address_format(signer, text);
    if (read_clock(q, &now, e) != 0)
        now = q->newest.timestamp;
    if (!wei_from_be32(value, &until) || until <= now)
        return err_set(e, OL_EFORMAT, "verify", "the voucher is signed by %s, not authorised by the payer at block %llu",
                       text, (unsigned long long)q->newest.number);
    return 0;
}

static void ask(struct question *q, struct verify_report *report, struct verify_place *place)
{
    struct verify_result *block = &report->check[VERIFY_BLOCK];
    struct verify_result *signature = &report->check[VERIFY_VOUCHER_SIGNATURE];
    struct err e = {0};
    bool reached = light_head(q->light, LIGHT_LATEST, &q->newest, &e) == 0;
    if (q->bundle->has_settlement && report->check[VERIFY_BATCH].outcome == VERIFY_OK) {
        if (!reached || check_block(q, place, &e))
            set(block, VERIFY_FAILED, e.message);
        else
            set(block, VERIFY_OK, "");
    }
    if (report->other_signer) {
        if (!reached || check_signer(q, report->voucher_signer, &e))
            set(signature, VERIFY_FAILED, e.message);
        else
            set(signature, VERIFY_OK, "");
    }
}

void verify_on_chain(const struct bundle *bundle, const struct chain_file *chain, const char *const *urls, size_t n_urls,
                     unsigned quorum, struct verify_report *report, struct verify_place *place)
{
    struct question q = {.bundle = bundle, .chain = chain};
    struct rpc_config config = {.urls = urls, .n_urls = n_urls, .quorum = quorum ? quorum : (unsigned)(n_urls / 2 + 1),
                                .chain_id = chain->chain_id, .max_head_lag = UINT64_MAX};
    struct rpc *rpc = NULL;
    struct err e = {0};
    *place = (struct verify_place){0};
    chain_file_rules(chain, &config.rules);
    if (rpc_open(&config, &rpc, &e) || light_open(rpc, &q.light, &e))
        set(&report->check[VERIFY_BLOCK], VERIFY_FAILED, e.message);
    else
        ask(&q, report, place);
    light_close(q.light);
    rpc_close(rpc);
}
