/* What statements and receipts pay: the mean of a policy, and the postings of two bodies; see audit.h. */
#include "attribution/audit_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the mean */

/* Sums and one statement's gradient units into out, both strictly by beneficiary. */
static size_t merge(const struct gradient_sum *sums, size_t n, const struct list *shares, struct gradient_sum *out)
{
    const struct share *s = shares->at;
    size_t i = 0, j = 0, k = 0;
    for (;; k++) {
        while (j < shares->n && s[j].gradient_units == 0)
            j++;
        if (i == n && j == shares->n)
            return k;
        int order = i == n ? 1 : j == shares->n ? -1 : memcmp(sums[i].beneficiary, s[j].beneficiary, ADDRESS_BYTES);
        memcpy(out[k].beneficiary, order <= 0 ? sums[i].beneficiary : s[j].beneficiary, ADDRESS_BYTES);
        out[k].units = order <= 0 ? sums[i++].units : 0;
        out[k].units += order >= 0 ? s[j++].gradient_units : 0;
    }
}

/* One statement of kind 2 more. A policy that names more beneficiaries than it may keeps its mean as it is. */
static void add_statement(struct audit_mean *m, const struct signed_statement *s, struct gradient_sum *scratch)
{
    const struct attribution_statement *of = &s->statement;
    uint64_t units = 0;
    uint32_t open = of->open_tokens <= of->answer_tokens ? units_of_tokens(of->open_tokens, of->answer_tokens) : 0;
    for (size_t i = 0; i < s->shares.n; i++)
        units += ((const struct share *)s->shares.at)[i].gradient_units;
    m->broken = m->broken || units > open || s->shares.n > RECEIPT_MAX_SHARES;
    size_t n = m->broken ? 0 : merge(m->sums, m->n, &s->shares, scratch);
    if (m->broken || n > RECEIPT_MAX_SHARES)
        return;
    memcpy(m->sums, scratch, n * sizeof *scratch);
    m->n = n;
    m->sum_open += open;
    m->any = true;
}

/* Over the epoch's bodies before the one that has the statement; kept until another is asked for. */
static const struct audit_mean *mean_of(const struct audit *a, const struct audit_body *of, const uint8_t policy[32],
                                        struct audit_room *room)
{
    struct audit_mean *m = &room->mean;
    const struct audit_body *first = of;
    if (m->of == of && memcmp(m->policy, policy, 32) == 0)
        return m;
    for (const struct audit_body *b = of; b; b = audit_body_before(a, b))
        first = b;
    m->of = of;
    memcpy(m->policy, policy, 32);
    m->n = 0;
    m->sum_open = 0;
    m->any = m->broken = false;
    m->complete = first->body.batch.first_sequence == 1;
    for (const struct audit_body *b = first; b < of; b++) {
        const struct signed_statement *s = b->body.statements.at;
        for (size_t i = 0; i < b->body.statements.n; i++)
            if (s[i].statement.kind == STATEMENT_GRADIENTS && memcmp(s[i].statement.policy, policy, 32) == 0)
                add_statement(m, &s[i], room->sums);
    }
    return m;
}

/* Whether the shares' gradient units are these. */
static bool same_units(const struct list *shares, const struct gradient_units *g, size_t n)
{
    const struct share *s = shares->at;
    size_t used = 0;
    for (size_t i = 0; i < shares->n; i++) {
        if (s[i].gradient_units == 0)
            continue;
        if (used == n || memcmp(s[i].beneficiary, g[used].beneficiary, ADDRESS_BYTES) != 0 ||
            s[i].gradient_units != g[used].units)
            return false;
        used++;
    }
    return used == n;
}

/* More beneficiaries than may share, and kind 3 falls back to kind 1. */
static bool too_many(const struct list *shares, const struct gradient_units *g, size_t n)
{
    const struct share *s = shares->at;
    size_t together = n, k = 0;
    for (size_t i = 0; i < shares->n; i++) {
        while (k < n && memcmp(g[k].beneficiary, s[i].beneficiary, ADDRESS_BYTES) < 0)
            k++;
        together += s[i].span_units && !(k < n && memcmp(g[k].beneficiary, s[i].beneficiary, ADDRESS_BYTES) == 0);
    }
    return together > RECEIPT_MAX_SHARES;
}

static void compare_mean(struct audited *r, const struct audit_mean *m, struct audit_room *room)
{
    const struct attribution_statement *s = &r->statement.statement;
    size_t n = 0;
    uint8_t kind = STATEMENT_SPANS;
    if (m->any) {
        gradients_mean(m->sums, m->n, m->sum_open, s->open_tokens, s->answer_tokens, room->units, room->division, &n);
        kind = too_many(&r->statement.shares, room->units, n) ? STATEMENT_SPANS : STATEMENT_MEAN;
    }
    uint64_t said = 0, found = 0;
    for (size_t i = 0; i < r->statement.shares.n; i++)
        said += ((const struct share *)r->statement.shares.at)[i].gradient_units;
    for (size_t i = 0; i < n; i++)
        found += room->units[i].units;
    if (kind != s->kind)
        audit_set(r->subject, AUDIT_MEAN, AUDIT_DIFFERS,
                  "the statement is of kind %d; by the epoch's earlier ones it is of kind "
                  "%d",
                  s->kind, kind);
    else if (kind == STATEMENT_MEAN && !same_units(&r->statement.shares, room->units, n))
        audit_set(r->subject, AUDIT_MEAN, AUDIT_DIFFERS,
                  "the shares have %llu gradient units, the mean gives %llu to %zu "
                  "beneficiaries, or others",
                  (unsigned long long)said, (unsigned long long)found, n);
    else
        audit_set(r->subject, AUDIT_MEAN, AUDIT_AGREED, "%s", "");
}

void audit_mean(struct audited *r, struct audit_room *room)
{
    const struct attribution_statement *s = &r->statement.statement;
    if (s->kind != STATEMENT_SPANS && s->kind != STATEMENT_MEAN)
        return;
    if (s->open_tokens > s->answer_tokens)
        return; /* told by another check; the rule has no answer */
    if (r->policy && !r->policy->document.has_gradients) {
        audit_set(r->subject, AUDIT_MEAN, s->kind == STATEMENT_SPANS ? AUDIT_AGREED : AUDIT_DIFFERS, "%s",
                  s->kind == STATEMENT_SPANS ? "" : "a mean under a policy without gradients");
        return;
    }
    const struct audit_mean *m = r->next ? mean_of(r->audit, r->next, s->policy, room) : NULL;
    if (!m || !m->complete)
        audit_set(r->subject, AUDIT_MEAN, AUDIT_UNAVAILABLE,
                  "needs the bodies of all batches of the epoch up to the one with "
                  "the statement");
    else if (m->broken)
        audit_set(r->subject, AUDIT_MEAN, AUDIT_UNAVAILABLE,
                  "an earlier statement has more gradient units than open tokens");
    else
        compare_mean(r, m, room);
}

/* ---- postings */

static int parts_by_rows(const struct audited *r, struct part parts[MAX_PARTS_PER_RECEIPT], int *n,
                         const struct row_split **split, struct err *e)
{
    const struct proof *p = r->proof;
    const struct body_rows *rows = &r->body->body.rows;
    const struct row_price *price = NULL;
    const struct row_split *s = rows->splits.at;
    const bool adapter = !audit_is_zero(p->adapter_version);
    const struct row_version *base = audit_row_in(&rows->versions, p->model_version),
                             *top = adapter ? audit_row_in(&rows->versions, p->adapter_version) : base;
    uint8_t id[32];
    struct fee fee;
    *split = NULL;
    for (size_t i = 0; i < rows->prices.n && !price; i++) {
        price_id((const struct row_price *)rows->prices.at + i, id);
        if (memcmp(id, p->price_id, 32) == 0)
            price = (const struct row_price *)rows->prices.at + i;
    }
    for (size_t i = 0; i < rows->splits.n && !*split; i++) {
        split_id(&s[i], id);
        if (memcmp(id, p->split_id, 32) == 0)
            *split = &s[i];
    }
    if (!price || !*split || !top || !base)
        return err_set(e, OL_EFORMAT, "audit", "the body lacks a row that the proof names: version, price or split");
    int rc = fee_of(price, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status, &fee, e);
    if (!rc && (fee.royalty_wei + fee.compute_wei != p->fee_wei))
        rc = err_set(e, OL_EFORMAT, "audit", "the fee is not what the price gives");
    return rc ? rc : parts_of(&fee, *split, top, adapter ? base : NULL, p->node, parts, n, e);
}

static int sorted(const void *a, const void *b) { return posting_order(a, b); }

/* Exactly these postings for the sequence in the body, among the roles asked for. */
static int compare_postings(const struct audit_body *b, uint64_t sequence, bool data, struct posting *due, size_t n,
                            struct err *e)
{
    const size_t total = b->body.postings.n;
    size_t low = 0, high = total, k = 0;
    qsort(due, n, sizeof *due, sorted);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->postings[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < total && b->postings[low].sequence == sequence; low++) {
        const struct posting *p = &b->postings[low];
        if ((p->role == ROLE_DATA || p->role == ROLE_UNATTRIBUTED) != data)
            continue;
        if (k == n || posting_order(p, &due[k]) != 0 || p->amount_wei != due[k].amount_wei)
            return err_set(e, OL_EFORMAT, "audit",
                           "batch %llu posts %llu wei in role %d where the rule gives %llu in role %d",
                           (unsigned long long)b->body.batch.number, (unsigned long long)p->amount_wei, p->role,
                           k < n ? (unsigned long long)due[k].amount_wei : 0ULL, k < n ? due[k].role : 0);
        k++;
    }
    return k == n ? 0
                  : err_set(e, OL_EFORMAT, "audit", "batch %llu lacks %zu postings of this receipt",
                            (unsigned long long)b->body.batch.number, n - k);
}

/* How the data part is to be posted in the next batch. */
static size_t data_postings(const struct audited *r, const struct part *data, struct posting *out)
{
    if (!audit_is_zero(r->proof->attribution_policy))
        return shares_postings(r->statement.shares.at, r->statement.shares.n, data->amount_wei, data->beneficiary,
                               r->proof->sequence, out);
    *out = (struct posting){.sequence = r->proof->sequence, .role = ROLE_DATA, .amount_wei = data->amount_wei};
    memcpy(out->beneficiary, data->beneficiary, ADDRESS_BYTES);
    return 1;
}

void audit_postings(struct audited *r, struct audit_room *room)
{
    struct part parts[MAX_PARTS_PER_RECEIPT];
    const struct row_split *split;
    const struct part *data = NULL;
    struct err e = {0};
    int n = 0;
    size_t due = 0;
    if (!r->body)
        return;
    const wei_t settled = ((const struct body_receipt *)r->body->body.receipts.at)[r->index].settled_wei;
    int rc = settled ? parts_by_rows(r, parts, &n, &split, &e) : 0;
    for (int i = 0; i < n && !rc; i++) {
        if (parts[i].role == ROLE_DATA) {
            data = &parts[i];
            continue;
        }
        room->postings[due] =
            (struct posting){.sequence = r->proof->sequence, .role = parts[i].role, .amount_wei = parts[i].amount_wei};
        memcpy(room->postings[due++].beneficiary, parts[i].beneficiary, ADDRESS_BYTES);
    }
    if (!rc)
        rc = compare_postings(r->body, r->proof->sequence, false, room->postings, due, &e);
    const bool divided = audit_is_zero(r->proof->attribution_policy) ||
                         (r->has_statement && r->subject->check[AUDIT_SHARES].outcome == AUDIT_AGREED);
    if (!rc && r->next && (divided || !data))
        rc = compare_postings(r->next, r->proof->sequence, true, room->postings,
                              data ? data_postings(r, data, room->postings) : 0, &e);
    if (!rc && !r->next && !r->last_of_epoch && data)
        audit_set(r->subject, AUDIT_POSTINGS, AUDIT_UNAVAILABLE,
                  "the next batch's body, which posts the data part, was not "
                  "given");
    else
        audit_take(r->subject, AUDIT_POSTINGS, rc, &e);
}
