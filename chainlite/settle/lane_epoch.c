/* Epochs: which one receipts may be signed in, and opening a new one.
 *
 * `lane.floor` is the highest epoch in which this outbox must never sign: the one that was open when the outbox was new
 * (an earlier outbox may have signed in it: the same sequence twice would be slashed), and the one in which the chain
 * was found to know a batch that this outbox does not. Signing needs an epoch above the floor.
 *
 *   epoch ≤ floor, or frozen ──openEpoch──► above the floor ──receipts of earlier epochs without a batch──► dead */
#include "chainlite/settle/lane_internal.h"

#include "base/log.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_EPOCH_GAS = 150000, BATCH_WORDS = 19 };

/* ---- the header of a batch that only the chain knows: its event, believed when it hashes to the slot */

static void field_of_word(const struct field *f, const uint8_t word[32], void *object)
{
    uint8_t *at = (uint8_t *)object + f->offset;
    wei_t wei = wei_from_be16(word + 16);
    uint64_t u64 = (uint64_t)wei;
    uint32_t u32 = (uint32_t)wei;
    switch (f->type) {
    case FIELD_HASH: memcpy(at, word, 32); break;
    case FIELD_ADDRESS: memcpy(at, word + 12, ADDRESS_BYTES); break;
    case FIELD_U32: memcpy(at, &u32, sizeof u32); break;
    case FIELD_U64: memcpy(at, &u64, sizeof u64); break;
    case FIELD_WEI: memcpy(at, &wei, sizeof wei); break;
    default: CHECK(!"a batch has no such field");
    }
}

struct wanted_batch {
    struct batch *out;
    const uint8_t *slot;
};

static enum rpc_fault take_log(void *user, size_t endpoint, const json_t *result, char *message)
{
    (void)endpoint;
    struct wanted_batch *want = user;
    for (size_t i = 0; i < json_array_size(result); i++) {
        const char *data = json_string_value(json_object_get(json_array_get(result, i), "data"));
        uint8_t words[BATCH_WORDS][32], hash[HASH_BYTES];
        if (!data || !hex_decode(data, words, sizeof words))
            continue;
        *want->out = (struct batch){0};
        for (size_t f = 0; f < batch_schema.n; f++)
            field_of_word(&batch_schema.field[f], words[f], want->out);
        batch_hash(want->out, hash);
        if (memcmp(hash, want->slot, sizeof hash) == 0)
            return RPC_FINE;
    }
    snprintf(message, RPC_MESSAGE_BYTES, "no event holds the batch");
    return RPC_MALFORMED;
}

static int fetch_header(struct lane *l, uint64_t number, struct batch *out, struct err *e)
{
    static const char event[] =
        "Submitted(address,uint64,(address,uint64,uint64,uint64,uint32,uint64,bytes32,bytes32,uint128,bytes32,uint32,"
        "uint128,bytes32,uint32,uint128,uint128,uint128,bytes32,bytes32))";
    uint8_t slot[1][32], word[1][32], topic[3][32];
    char text[3][67] = {"0x", "0x", "0x"}, address[ADDRESS_TEXT_BYTES];
    slot_batch(l->config.node, number, slot[0]);
    int rc = light_storage(l->light, &l->chain.head, l->config.settlement, (const uint8_t(*)[32])slot, 1, word, NULL,
                           e);
    if (rc)
        return rc;
    keccak256(event, sizeof event - 1, topic[0]);
    mpt_word_address(l->config.node, topic[1]);
    mpt_slot(number, topic[2]);
    for (int i = 0; i < 3; i++)
        hex_encode(topic[i], 32, text[i] + 2);
    address_format(l->config.settlement, address);
    json_t *params = json_pack("[{s:s,s:s,s:s,s:[s,s,s]}]", "fromBlock", "0x0", "toBlock", "latest", "address", address,
                               "topics", text[0], text[1], text[2]);
    if (!params)
        return err_set(e, OL_ENOMEM, "lane", "no memory for a question");
    struct wanted_batch want = {out, word[0]};
    rc = rpc_ask_until(l->rpc, "eth_getLogs", params, take_log, &want, e);
    json_decref(params);
    return rc;
}

/* Receipts of the epoch that are in no batch of ours before this one: others may stand on the chain under their
 * sequences, and only its body tells. */
struct foreign {
    struct lane *lane;
    uint64_t number;
};

static int doubt(void *user, const struct outbox_receipt *r)
{
    const struct foreign *f = user;
    struct outbox_batch b;
    int rc = outbox_batch_of(f->lane->outbox, r->proof.epoch, r->proof.sequence, &b, NULL);
    if (rc || b.batch.number >= f->number || b.state < BATCH_UNSAFE || b.state > BATCH_ANCHORED)
        lane_dead(f->lane, r->proof.epoch, r->proof.sequence, "foreign_batch",
                  "the chain has a batch that is not this outbox's; its body tells whether this receipt is in it");
    return 0;
}

/* The chain's last batch becomes the outbox's, so that the next one has something to follow. */
static int adopt_last(struct lane *l, struct err *e)
{
    struct outbox_batch row = {.state = BATCH_UNSAFE};
    struct outbox_write *w;
    int rc = fetch_header(l, l->chain.last, &row.batch, e);
    if (rc)
        return err_prefix(e, "batch %llu, which the outbox does not have", (unsigned long long)l->chain.last);
    rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_batch(w, &row);
    outbox_put_meta_u64(w, "lane.settled", l->chain.last - 1);
    rc = outbox_commit(w, e);
    struct foreign f = {l, l->chain.last};
    return rc ? rc : outbox_receipts(l->outbox, row.batch.epoch, 1, UINT64_MAX, doubt, &f, e);
}

/* ---- the floor */

static int put_floor(struct lane *l, uint64_t floor, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_meta_u64(w, "lane.floor", floor);
    return outbox_commit(w, e);
}

static int check_floor(struct lane *l, bool foreign, uint64_t *floor, struct err *e)
{
    struct outbox_batch b;
    int rc = outbox_meta_u64(l->outbox, "lane.floor", floor, e);
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (rc) {
        *floor = l->chain.epoch;
        rc = put_floor(l, *floor, e);
        if (rc)
            return rc;
    }
    int have = l->chain.last ? outbox_batch(l->outbox, l->chain.last, &b, e) : 0;
    if (have && have != OL_ENOTFOUND)
        return have;
    if (!foreign && !have)
        return 0;
    lane_warn(l, "batch %llu on the chain is not in this outbox", (unsigned long long)l->chain.last);
    if (*floor < l->chain.epoch) {
        *floor = l->chain.epoch;
        rc = put_floor(l, *floor, e);
    }
    return rc ? rc : adopt_last(l, e);
}

/* ---- what an ended epoch leaves behind */

static int bury(void *user, const struct outbox_receipt *r)
{
    struct lane *l = user;
    struct outbox_batch b;
    bool voided = outbox_batch_of(l->outbox, r->proof.epoch, r->proof.sequence, &b, NULL) == 0 &&
                  b.state == BATCH_VOIDED;
    lane_dead(l, r->proof.epoch, r->proof.sequence, voided ? "voided" : "epoch_ended",
              voided ? "a challenge voided its batch; what was claimed for it goes back to its payer"
                     : "its epoch ended before a batch held it; it settles nothing");
    return 0;
}

static int bury_lost(struct lane *l, uint64_t epoch, struct err *e)
{
    struct outbox_batch b;
    uint64_t last = 0, first = 1;
    int rc = outbox_receipt_last(l->outbox, epoch, &last, e);
    if (rc || !last)
        return rc == OL_ENOTFOUND ? 0 : rc;
    /* The epoch's last batch on the chain is the chain's last one, or there is none. */
    rc = l->chain.last ? outbox_batch(l->outbox, l->chain.last, &b, e) : OL_ENOTFOUND;
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (!rc && b.batch.epoch == epoch)
        first = b.batch.first_sequence + b.batch.count;
    return first <= last ? outbox_receipts(l->outbox, epoch, first, UINT64_MAX, bury, l, e) : 0;
}

static int note_epoch(struct lane *l, struct err *e)
{
    uint64_t known = 0;
    struct outbox_write *w;
    int rc = outbox_meta_u64(l->outbox, "lane.epoch", &known, e);
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (known == l->chain.epoch)
        return 0;
    if (known && known < l->chain.epoch && (rc = bury_lost(l, known, e)))
        return rc;
    rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_meta_u64(w, "lane.epoch", l->chain.epoch);
    log_line(LOG_INFO, "lane", "epoch %llu is open", (unsigned long long)l->chain.epoch);
    return outbox_commit(w, e);
}

/* ---- opening */

static int open_epoch(struct lane *l, struct err *e)
{
    struct outbox_batch last = {0};
    uint8_t data[CALL_SUBMIT_BYTES];
    struct abi_writer w;
    int rc = l->chain.last ? outbox_batch(l->outbox, l->chain.last, &last, e) : 0;
    if (rc)
        return rc;
    abi_writer_init(&w, data, sizeof data);
    call_settlement_open_epoch(&w, l->config.node, &last.batch);
    CHECK(!w.failed);
    struct lane_request r = {.purpose = TX_OPEN_EPOCH,
                             .to = l->config.settlement,
                             .data = data,
                             .len = w.len,
                             .gas_bound = OPEN_EPOCH_GAS};
    rc = lane_send(l, &r, e);
    if (rc == OL_EINVAL)
        rc = err_prefix(e, "openEpoch would revert");
    if (!rc) {
        pthread_mutex_lock(&l->mutex);
        l->epoch_wanted = false;
        pthread_mutex_unlock(&l->mutex);
    }
    return rc;
}

static void refuse(struct lane *l, const char *reason)
{
    pthread_mutex_lock(&l->mutex);
    snprintf(l->refusal, sizeof l->refusal, "%s", reason);
    pthread_mutex_unlock(&l->mutex);
}

int epoch_step(struct lane *l, bool idle, bool foreign, bool *ready, struct err *e)
{
    uint64_t floor = 0;
    *ready = false;
    int rc = check_floor(l, foreign, &floor, e);
    if (rc) {
        refuse(l, e ? e->message : "the outbox cannot be compared with the chain");
        return rc;
    }
    pthread_mutex_lock(&l->mutex);
    bool asked = l->epoch_wanted;
    pthread_mutex_unlock(&l->mutex);
    bool open = l->chain.epoch > floor && !l->chain.frozen;
    if (open && !asked) {
        rc = note_epoch(l, e);
        refuse(l, "");
        *ready = !rc;
        return rc;
    }
    refuse(l, l->chain.frozen ? "the node was slashed and is frozen; its owner may run `openlora chain new-epoch`"
              : open          ? "a new epoch is being opened"
                              : "no epoch is open that this outbox may sign in; `openlora chain new-epoch` opens one");
    if (open && idle)
        rc = put_floor(l, l->chain.epoch, e); /* asked for: nothing more is signed in this one */
    if (!rc && idle && (asked || (l->config.open_epochs && !l->chain.frozen)))
        rc = open_epoch(l, e);
    return rc;
}
