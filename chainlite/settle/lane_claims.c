/* Claims of a batch: what each payer owes for it, taken from the Escrow in chunks.
 *
 * Planned once, in one write, before the first is sent: per payer the escrow's `claimed` and balance at a verified
 * head, and the most of his receipts, in their order, that the balance covers. What it does not cover settles 0. A
 * claim is decided when `claimed` has moved by exactly its amount (paid), or when it was sent CLAIM_ATTEMPTS times, or cannot
 * succeed any more (its receipts settle 0, and a dead letter says why).
 *
 * All chunks go out together, and the submission behind them before any is mined, for what they come to if the chain
 * accepts them all: balance and ceiling of each are proven, so it does unless something moves in between. Then the
 * Escrow's claims hash is another one, the submission reverts, and the next step goes on from what was really paid. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/settle/crash_points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIM_GAS = 45000, CHUNK_GAS = 80000 };

struct plan {
    struct claim_row *row; /* by payer once sorted; owned */
    wei_t *left_wei;       /* of the balance, by payer */
    size_t n, cap;
    struct outbox_batch *batch;
    bool choosing; /* second scan: receipts are chosen */
    bool no_memory;
};

static int compare_rows(const void *a, const void *b)
{
    const struct claim_row *x = a, *y = b;
    return memcmp(x->claim.payer, y->claim.payer, ADDRESS_BYTES);
}

static struct claim_row *find_row(struct plan *p, const uint8_t payer[ADDRESS_BYTES])
{
    struct claim_row key;
    memcpy(key.claim.payer, payer, ADDRESS_BYTES);
    return bsearch(&key, p->row, p->n, sizeof *p->row, compare_rows);
}

static void settle_nothing(struct outbox_batch *b, uint64_t sequence)
{
    uint64_t i = sequence - b->batch.first_sequence;
    b->unsettled[i / 8] |= (uint8_t)(1 << i % 8);
}

/* First scan: a payer's rows arrive in no order, so each keeps a row per receipt until they are sorted and merged. */
static int collect(void *user, const struct outbox_receipt *r)
{
    struct plan *p = user;
    if (r->proof.fee_wei == 0)
        return 0;
    if (p->n && memcmp(p->row[p->n - 1].claim.payer, r->proof.payer, ADDRESS_BYTES) == 0)
        p->n--; /* the same payer again: his newer voucher counts */
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        void *grown = realloc(p->row, cap * sizeof *p->row);
        if (!grown) {
            p->no_memory = true;
            return OL_ENOMEM;
        }
        p->row = grown;
        p->cap = cap;
    }
    struct claim_row *row = &p->row[p->n++];
    *row = (struct claim_row){.attempts = (uint32_t)(r->proof.sequence - p->batch->batch.first_sequence)};
    memcpy(row->claim.payer, r->proof.payer, ADDRESS_BYTES);
    row->claim.ceiling_wei = r->voucher.voucher.ceiling_wei;
    memcpy(row->claim.request_hash, r->voucher.voucher.request_hash, 32);
    memcpy(row->claim.signature, r->voucher.signature, SIGNATURE_BYTES);
    return 0;
}

static int compare_newest(const void *a, const void *b)
{
    const struct claim_row *x = a, *y = b;
    int order = compare_rows(a, b);
    return order ? order : x->attempts < y->attempts ? 1 : x->attempts > y->attempts ? -1 : 0;
}

/* Sorted by payer with the newest receipt first (its place was kept in `attempts`); one row per payer stays. */
static void merge(struct plan *p)
{
    size_t kept = 0;
    if (p->n)
        qsort(p->row, p->n, sizeof *p->row, compare_newest);
    for (size_t i = 0; i < p->n; i++) {
        if (kept && compare_rows(&p->row[kept - 1], &p->row[i]) == 0)
            continue;
        p->row[kept] = p->row[i];
        p->row[kept++].attempts = 0;
    }
    p->n = kept;
}

/* Second scan: a receipt is claimed if what is left of the balance covers it. */
static int choose(void *user, const struct outbox_receipt *r)
{
    struct plan *p = user;
    if (r->proof.fee_wei == 0)
        return 0;
    struct claim_row *row = find_row(p, r->proof.payer);
    CHECK(row != NULL);
    wei_t *left = &p->left_wei[row - p->row];
    if (r->proof.fee_wei > *left) {
        settle_nothing(p->batch, r->proof.sequence);
        return 0;
    }
    *left -= r->proof.fee_wei;
    row->claim.amount_wei += r->proof.fee_wei;
    return 0;
}

/* Fetches the accounts of the rows' payers; owned. */
static int accounts_of(struct lane *l, const struct claim_row *row, size_t n, struct chain_account **out, struct err *e)
{
    uint8_t(*payers)[ADDRESS_BYTES] = calloc(n + 1, sizeof *payers);
    struct chain_account *accounts = calloc(n + 1, sizeof *accounts);
    int rc = payers && accounts ? 0 : err_set(e, OL_ENOMEM, "lane", "no memory for %zu payers", n);
    for (size_t i = 0; i < n && !rc; i++)
        memcpy(payers[i], row[i].claim.payer, ADDRESS_BYTES);
    if (!rc)
        rc = chain_accounts(l, (const uint8_t(*)[ADDRESS_BYTES])payers, n, accounts, e);
    free(payers);
    if (rc) {
        free(accounts);
        accounts = NULL;
    }
    *out = accounts;
    return rc;
}

static int put_plan(struct lane *l, const struct plan *p, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < p->n; i++)
        if (p->row[i].claim.amount_wei)
            store_put_claim(w, p->batch->batch.number, &p->row[i]);
    outbox_put_batch(w, p->batch);
    outbox_put_meta_u64(w, "lane.planned", p->batch->batch.number);
    return outbox_commit(w, e);
}

static int make_plan(struct lane *l, struct outbox_batch *batch, struct err *e)
{
    struct plan p = {.batch = batch};
    struct chain_account *accounts = NULL;
    const struct batch *b = &batch->batch;
    memset(batch->unsettled, 0, sizeof batch->unsettled);
    int rc = outbox_receipts(l->outbox, b->epoch, b->first_sequence, b->count, collect, &p, e);
    if (p.no_memory)
        rc = err_set(e, OL_ENOMEM, "lane", "no memory for the payers of a batch");
    if (!rc) {
        merge(&p);
        rc = accounts_of(l, p.row, p.n, &accounts, e);
    }
    p.left_wei = calloc(p.n + 1, sizeof *p.left_wei);
    if (!rc && !p.left_wei)
        rc = err_set(e, OL_ENOMEM, "lane", "no memory for the payers of a batch");
    for (size_t i = 0; i < p.n && !rc; i++) {
        p.row[i].before_wei = accounts[i].claimed_wei;
        p.left_wei[i] = accounts[i].balance_wei;
        /* A voucher covers no more than its ceiling, whatever was settled before. */
        wei_t room = p.row[i].claim.ceiling_wei > accounts[i].claimed_wei
                         ? p.row[i].claim.ceiling_wei - accounts[i].claimed_wei
                         : 0;
        if (p.left_wei[i] > room)
            p.left_wei[i] = room;
    }
    if (!rc)
        rc = outbox_receipts(l->outbox, b->epoch, b->first_sequence, b->count, choose, &p, e);
    if (!rc)
        rc = put_plan(l, &p, e);
    free(p.row);
    free(p.left_wei);
    free(accounts);
    return rc;
}

/* ---- sending and deciding */

struct chunk {
    uint64_t batch;
    struct claim_row *row[CALL_MAX_CLAIMS];
    size_t n;
    bool tried_before; /* one of them was sent already and not accepted */
};

static void put_attempts(struct outbox_write *w, void *user)
{
    const struct chunk *c = user;
    for (size_t i = 0; i < c->n; i++) {
        struct claim_row row = *c->row[i];
        row.attempts++;
        store_put_claim(w, c->batch, &row);
    }
}

static int send_chunk(struct lane *l, struct chunk *c, uint32_t number, struct err *e)
{
    struct claim claims[CALL_MAX_CLAIMS];
    size_t room = call_claims_bytes(c->n);
    uint8_t *data = malloc(room);
    if (!data)
        return err_set(e, OL_ENOMEM, "lane", "no memory for claims");
    struct abi_writer w;
    abi_writer_init(&w, data, room);
    for (size_t i = 0; i < c->n; i++)
        claims[i] = c->row[i]->claim;
    call_escrow_claim(&w, claims, c->n);
    CHECK(!w.failed);
    struct lane_request r = {.purpose = TX_CLAIM,
                             .batch_number = c->batch,
                             .chunk = number,
                             .to = l->config.escrow,
                             .data = data,
                             .len = w.len,
                             .gas_bound = CHUNK_GAS + c->n * CLAIM_GAS,
                             .also = put_attempts,
                             .user = c};
    int rc = lane_send(l, &r, e);
    free(data);
    return rc;
}

/* Whether a claim cannot succeed (any more). */
static bool hopeless(const struct claim_row *row, const struct chain_account *a)
{
    return a->balance_wei < row->claim.amount_wei || a->claimed_wei > row->claim.ceiling_wei ||
           row->claim.amount_wei > row->claim.ceiling_wei - a->claimed_wei || row->attempts >= CLAIM_ATTEMPTS;
}

struct deciding {
    struct lane *lane;
    struct outbox_batch *batch;
    const struct claim_rows *rows;
    wei_t *left_wei; /* of what was paid, by row */
};

/* Taking receipts in order while they fit into what was paid gives the very receipts that the plan chose. */
static int decide_receipt(void *user, const struct outbox_receipt *r)
{
    struct deciding *d = user;
    if (r->proof.fee_wei == 0)
        return 0;
    struct claim_row key;
    memcpy(key.claim.payer, r->proof.payer, ADDRESS_BYTES);
    const struct claim_row *row =
        d->rows->n ? bsearch(&key, d->rows->at, d->rows->n, sizeof key, compare_rows) : NULL;
    wei_t *left = row ? &d->left_wei[row - d->rows->at] : NULL;
    if (left && r->proof.fee_wei <= *left) {
        *left -= r->proof.fee_wei;
        return 0;
    }
    settle_nothing(d->batch, r->proof.sequence);
    lane_dead(d->lane, r->proof.epoch, r->proof.sequence, "not_paid",
              "its payer's escrow or voucher did not cover it; it settles 0");
    return 0;
}

/* What was paid says which receipts settle. */
static int decide(struct lane *l, struct outbox_batch *batch, const struct claim_rows *rows,
                  const struct chain_account *accounts, struct claimed *out, struct err *e)
{
    struct deciding d = {l, batch, rows, calloc(rows->n + 1, sizeof *d.left_wei)};
    const struct batch *b = &batch->batch;
    if (!d.left_wei)
        return err_set(e, OL_ENOMEM, "lane", "no memory for the payers of a batch");
    out->accepted_wei = 0;
    for (size_t i = 0; i < rows->n; i++) {
        d.left_wei[i] = accounts[i].claimed_wei - rows->at[i].before_wei;
        out->accepted_wei += d.left_wei[i];
    }
    memset(batch->unsettled, 0, sizeof batch->unsettled);
    int rc = outbox_receipts(l->outbox, b->epoch, b->first_sequence, b->count, decide_receipt, &d, e);
    free(d.left_wei);
    out->decided = !rc;
    return rc;
}

static int check_moves(uint64_t number, const struct claim_rows *rows, const struct chain_account *accounts,
                       struct err *e)
{
    for (size_t i = 0; i < rows->n; i++) {
        wei_t moved = accounts[i].claimed_wei - rows->at[i].before_wei;
        if (accounts[i].claimed_wei < rows->at[i].before_wei || (moved && moved != rows->at[i].claim.amount_wei))
            return err_set(e, OL_EBUSY, "lane",
                           "batch %llu: a payer's claimed amount moved by other than what was claimed",
                           (unsigned long long)number);
    }
    return 0;
}

/* Collects the next chunk of what is still to be claimed from row *at on, as if all of it were accepted from here. */
static void next_chunk(const struct lane *l, const struct claim_rows *rows, struct chain_account *accounts, size_t *at,
                       struct chunk *c, struct claimed *out)
{
    struct credit pairs[CALL_MAX_CLAIMS];
    for (; *at < rows->n && c->n < l->config.claims_per_tx; ++*at) {
        struct claim_row *row = &rows->at[*at];
        struct chain_account *account = &accounts[*at];
        if (account->claimed_wei != row->before_wei || hopeless(row, account))
            continue;
        memcpy(pairs[c->n].beneficiary, row->claim.payer, ADDRESS_BYTES);
        pairs[c->n].cumulative_wei = row->claim.amount_wei;
        account->claimed_wei += row->claim.amount_wei;
        account->balance_wei -= row->claim.amount_wei;
        out->collected_wei += row->claim.amount_wei;
        c->tried_before = c->tried_before || row->attempts;
        c->row[c->n++] = row;
    }
    if (c->n)
        claims_hash_next(out->claims_hash, pairs, c->n, out->claims_hash);
}

/* Sends what is still to be claimed, as many chunks as one step may send. out->decided: every claim is, or is in flight
 * for the first time, and nothing known speaks against it. One that was skipped before may be skipped again, so nothing
 * is built on it. */
static int send_chunks(struct lane *l, uint64_t number, const struct claim_rows *rows, struct chain_account *accounts,
                       struct claimed *out, struct err *e)
{
    size_t at = 0;
    bool tried_before = false;
    for (int sent = 0; sent < LANE_MAX_BURST - 1; sent++) {
        struct chunk c = {.batch = number};
        next_chunk(l, rows, accounts, &at, &c, out);
        if (!c.n)
            break;
        int rc = send_chunk(l, &c, (uint32_t)((c.row[0] - rows->at) / l->config.claims_per_tx), e);
        if (rc)
            return rc;
        out->expected = true;
        tried_before = tried_before || c.tried_before;
    }
    out->decided = at == rows->n && !tried_before;
    return 0;
}

/* Nobody's money is taken for a batch that the contract would refuse for want of a bond behind it. */
static int check_bond(struct lane *l, uint64_t number, const struct claim_rows *rows,
                      const struct chain_account *accounts, struct err *e)
{
    wei_t open_wei = 0;
    char have[WEI_TEXT_BYTES + 2], need[WEI_TEXT_BYTES + 2];
    for (size_t i = 0; i < rows->n; i++)
        if (accounts[i].claimed_wei == rows->at[i].before_wei && !hopeless(&rows->at[i], &accounts[i]))
            open_wei += rows->at[i].claim.amount_wei;
    wei_t need_wei = l->chain.collected_wei + open_wei - l->chain.finalised_cumulative_wei;
    if (!open_wei || l->chain.bond_wei >= need_wei)
        return 0;
    wei_format_coin(l->chain.bond_wei, have);
    wei_format_coin(need_wei, need);
    err_set(e, OL_EBUSY, "lane", "batch %llu waits: the bond of %s does not cover the %s that are not final; add to it",
            (unsigned long long)number, have, need);
    lane_dead(l, 0, number, "bond_too_small", e->message);
    return OL_EBUSY;
}

/* The batch's rows and their payers' accounts; owned. */
static int load_rows(struct lane *l, uint64_t number, struct claim_rows *rows, struct chain_account **accounts,
                     struct claimed *out, struct err *e)
{
    *accounts = NULL;
    *out = (struct claimed){.collected_wei = l->chain.collected_wei};
    memcpy(out->claims_hash, l->chain.claims_hash, sizeof out->claims_hash);
    int rc = store_claims(l->outbox, number, rows, e);
    if (!rc)
        rc = accounts_of(l, rows->at, rows->n, accounts, e);
    return rc ? rc : check_moves(number, rows, *accounts, e);
}

int claims_step(struct lane *l, struct outbox_batch *batch, struct claimed *out, struct err *e)
{
    uint64_t planned = 0, number = batch->batch.number;
    struct claim_rows rows = {0};
    struct chain_account *accounts;
    *out = (struct claimed){0};
    int rc = outbox_meta_u64(l->outbox, "lane.planned", &planned, e);
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (planned < number) {
        rc = make_plan(l, batch, e);
        if (rc)
            return rc;
        crash_point(lane_planned);
    }
    rc = load_rows(l, number, &rows, &accounts, out, e);
    if (!rc)
        rc = check_bond(l, number, &rows, accounts, e);
    if (!rc)
        rc = send_chunks(l, number, &rows, accounts, out, e);
    if (!rc && out->decided) {
        rc = decide(l, batch, &rows, accounts, out, e);
        crash_point(lane_claimed);
    }
    free(rows.at);
    free(accounts);
    return rc;
}

int claims_paid(struct lane *l, struct outbox_batch *batch, struct claimed *out, struct err *e)
{
    struct claim_rows rows = {0};
    struct chain_account *accounts;
    int rc = load_rows(l, batch->batch.number, &rows, &accounts, out, e);
    if (!rc)
        rc = decide(l, batch, &rows, accounts, out, e);
    free(rows.at);
    free(accounts);
    return rc;
}
