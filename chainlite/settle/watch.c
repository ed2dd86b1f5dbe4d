/* What became of batches, from their slots at the latest, safe and finalized heads; see lane.h for the states.
 *
 *   slot at latest          batch was            it is now
 *   ─────────────────────   ──────────────────   ─────────────────────────────────────────────────────────────
 *   its hash                anything             unsafe; safe or anchored if those heads have it, too
 *   empty                   unsafe or higher     closed (reorg: done again), or voided when the node is frozen or in
 *                                                a later epoch
 *   empty                   closed, submitted    as it was; dead when its epoch is over
 *   another hash            anything             an earlier submission of it after a reorg: computed again; else
 *                                                foreign: the key is used elsewhere, or the outbox is an old one */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

enum { WATCHED = 64, MAX_CLOCK_LAG_S = 60 * 86400 };

struct watched {
    struct outbox_batch batch;
    uint8_t slot[3][32]; /* at latest, safe, finalized */
};

struct watching {
    struct lane *lane;
    struct watched *at;
    size_t n;
    struct light_head safe, finalized;
    bool has_safe, has_finalized;
};

static const uint8_t empty_word[32];

static int take_batch(void *user, const struct outbox_batch *b)
{
    struct watching *w = user;
    w->at[w->n++].batch = *b;
    return w->n == WATCHED;
}

static int read_slots(struct watching *w, const struct light_head *head, int which, struct err *e)
{
    uint8_t slot[WATCHED][32], word[WATCHED][32];
    const struct lane *l = w->lane;
    for (size_t i = 0; i < w->n; i++)
        slot_batch(l->config.node, w->at[i].batch.batch.number, slot[i]);
    int rc = light_storage(l->light, head, l->config.settlement, (const uint8_t(*)[32])slot, w->n, word, NULL, e);
    for (size_t i = 0; i < w->n && !rc; i++)
        memcpy(w->at[i].slot[which], word[i], 32);
    return rc;
}

/* The second that the contract's clock stood at: blocks' timestamps without pauses, so at most the head's. */
bool watch_find_time(const struct lane *l, struct batch *b, uint64_t not_before, const uint8_t slot[32])
{
    uint64_t newest = l->chain.head.timestamp, hash_bound = newest > MAX_CLOCK_LAG_S ? newest - MAX_CLOCK_LAG_S : 0;
    uint64_t oldest = not_before > hash_bound ? not_before : hash_bound;
    uint8_t hash[HASH_BYTES];
    batch_hash(b, hash); /* what was found before */
    if (memcmp(hash, slot, sizeof hash) == 0)
        return true;
    for (uint64_t t = newest + 1; t-- > oldest;) {
        b->submitted_at = t;
        batch_hash(b, hash);
        if (memcmp(hash, slot, sizeof hash) == 0)
            return true;
    }
    return false;
}

/* The state that the three slots tell for a batch whose hash is the latest one's. */
static uint8_t proven_state(const struct watching *w, const struct watched *b)
{
    bool safe = w->has_safe && memcmp(b->slot[1], b->slot[0], 32) == 0;
    bool finalized = w->has_finalized && memcmp(b->slot[2], b->slot[0], 32) == 0;
    uint8_t state = finalized ? BATCH_ANCHORED : safe ? BATCH_SAFE : BATCH_UNSAFE;
    /* A head that could not be read proves nothing against what was proven before. */
    if (!w->has_finalized && b->batch.state == BATCH_ANCHORED)
        state = BATCH_ANCHORED;
    if (!w->has_safe && b->batch.state == BATCH_SAFE && state < BATCH_SAFE)
        state = BATCH_SAFE;
    return state;
}

static int keep_proof(struct watching *w, struct outbox_batch *b, struct err *e)
{
    struct lane *l = w->lane;
    const struct light_head *head = b->state == BATCH_ANCHORED && w->has_finalized ? &w->finalized
                                    : b->state == BATCH_SAFE && w->has_safe        ? &w->safe
                                                                                   : &l->chain.head;
    uint8_t slot[1][32], word[1][32];
    struct light_proof proof = {0};
    slot_batch(l->config.node, b->batch.number, slot[0]);
    int rc = light_storage(l->light, head, l->config.settlement, (const uint8_t(*)[32])slot, 1, word, &proof, e);
    if (!rc)
        rc = store_proof(l->proofs, b->batch.number, head, &proof, e);
    light_proof_deinit(&proof);
    memcpy(b->block_hash, head->hash, HASH_BYTES);
    b->block_number = head->number;
    b->proven_ms = (uint64_t)clock_unix_ms();
    return rc;
}

/* dead: why nothing comes of the batch, with its code; NULL: something does. */
static int put_batch(struct lane *l, const struct outbox_batch *b, const char *code, const char *dead, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_batch(w, b);
    if (!dead)
        outbox_drop_dead(w, 0, b->batch.number);
    rc = outbox_commit(w, e);
    if (!rc && dead)
        lane_dead(l, 0, b->batch.number, code, dead);
    return rc;
}

/* The slot is empty. */
static int not_there(struct lane *l, struct outbox_batch *b, struct err *e)
{
    bool over = l->chain.epoch > b->batch.epoch || l->chain.frozen;
    uint8_t was = b->state;
    if (was >= BATCH_VOIDED)
        return 0;
    if (was >= BATCH_UNSAFE) {
        b->state = over ? BATCH_VOIDED : BATCH_CLOSED;
        b->batch.submitted_at = 0;
        b->proven_ms = 0;
        lane_warn(l, "batch %llu is gone from the chain: %s", (unsigned long long)b->batch.number,
                  over ? "voided" : "a reorg took it back; it is submitted again");
        return put_batch(l, b, "voided", over ? "a challenge voided it; what was claimed goes back to its payers" : NULL,
                         e);
    }
    if (!over)
        return 0;
    b->state = BATCH_DEAD;
    return put_batch(l, b, "epoch_ended",
                     "its epoch ended before it was on the chain; its payers get their money back", e);
}

static int look_at(struct watching *w, struct watched *b, const struct batch *previous, bool *foreign, struct err *e)
{
    struct lane *l = w->lane;
    struct outbox_batch *row = &b->batch;
    if (memcmp(b->slot[0], empty_word, 32) == 0)
        return not_there(l, row, e);
    struct outbox_batch was = *row;
    if (previous)
        batch_hash(previous, row->batch.previous);
    if (!watch_find_time(l, &row->batch, previous ? previous->submitted_at : 0, b->slot[0])) {
        *row = was;
        int rc = submit_recover(l, row, b->slot[0], e);
        *foreign = rc == OL_ENOTFOUND;
        if (rc)
            return *foreign ? 0 : rc;
    }
    row->state = proven_state(w, b);
    if (row->state == was.state && memcmp(&row->batch, &was.batch, sizeof was.batch) == 0)
        return 0;
    int rc = keep_proof(w, row, e);
    if (rc)
        return rc;
    crash_point(lane_proven);
    log_line(LOG_INFO, "lane", "batch %llu: %s", (unsigned long long)row->batch.number,
             outbox_batch_state_name((enum outbox_batch_state)row->state));
    return put_batch(l, row, NULL, NULL, e);
}

/* Batches up to here need no more looks: anchored and final. */
static int note_settled(struct watching *w, uint64_t settled, struct err *e)
{
    uint64_t upto = settled;
    struct outbox_write *write;
    for (size_t i = 0; i < w->n; i++) {
        const struct outbox_batch *b = &w->at[i].batch;
        /* Numbers of void batches are used again, so they stay under watch. */
        if (b->batch.number != upto + 1 || b->state != BATCH_ANCHORED || b->batch.number > w->lane->chain.finalised)
            break;
        upto++;
    }
    if (upto == settled)
        return 0;
    int rc = outbox_begin(w->lane->outbox, &write, e);
    if (rc)
        return rc;
    outbox_put_meta_u64(write, "lane.settled", upto);
    return outbox_commit(write, e);
}

static int look_at_all(struct watching *w, uint64_t settled, bool *foreign, struct err *e)
{
    struct lane *l = w->lane;
    struct outbox_batch before;
    const struct batch *previous = NULL;
    int rc = settled ? outbox_batch(l->outbox, settled, &before, e) : OL_ENOTFOUND;
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (!rc)
        previous = &before.batch;
    rc = read_slots(w, &l->chain.head, 0, e);
    w->has_safe = !rc && light_head(l->light, LIGHT_SAFE, &w->safe, NULL) == 0 && read_slots(w, &w->safe, 1, NULL) == 0;
    w->has_finalized = !rc && light_head(l->light, LIGHT_FINALIZED, &w->finalized, NULL) == 0 &&
                       read_slots(w, &w->finalized, 2, NULL) == 0;
    for (size_t i = 0; i < w->n && !rc && !*foreign; i++) {
        rc = look_at(w, &w->at[i], previous, foreign, e);
        if (w->at[i].batch.state < BATCH_VOIDED)
            previous = &w->at[i].batch.batch;
    }
    return rc ? rc : note_settled(w, settled, e);
}

int watch_batches(struct lane *l, bool *foreign, struct err *e)
{
    uint64_t settled = 0;
    *foreign = false;
    int rc = outbox_meta_u64(l->outbox, "lane.settled", &settled, e);
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    struct watching w = {.lane = l, .at = calloc(WATCHED, sizeof *w.at)};
    if (!w.at)
        return err_set(e, OL_ENOMEM, "lane", "no memory to watch batches");
    rc = outbox_batches(l->outbox, settled + 1, WATCHED, take_batch, &w, e);
    rc = rc > 0 ? 0 : rc;
    if (!rc && w.n)
        rc = look_at_all(&w, settled, foreign, e);
    free(w.at);
    return rc;
}

int watch_next(struct lane *l, struct outbox_batch *out, struct err *e)
{
    int rc = outbox_batch(l->outbox, l->chain.last + 1, out, e);
    if (!rc && (out->state > BATCH_SUBMITTED || out->batch.epoch != l->chain.epoch))
        rc = err_set(e, OL_ENOTFOUND, "lane", "no batch waits");
    return rc;
}
