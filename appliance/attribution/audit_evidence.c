/* Checks of a receipt with its evidence: spans and what follows, from v̂ to units; see audit.h. */
#include "attribution/answer.h"
#include "attribution/audit_internal.h"

#include "chainlite/core/hex.h"
#include "chainlite/json/notation.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "audit"

/* Everything that evidence could have told, when there is none. */
static void unavailable(struct audited *r, const char *reason)
{
    audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_UNAVAILABLE, "%s", reason);
}

/* A copy that may be computed anew; released with evidence_deinit. */
static int copy(const struct evidence *v, struct evidence *out, struct err *e)
{
    struct buf text;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    evidence_write(v, &text);
    int rc = buf_failed(&text) ? err_set(e, OL_ENOMEM, MODULE, "no memory for evidence")
                               : notation_parse(&evidence_schema, buf_str(&text), text.len, out, e);
    buf_deinit(&text);
    return rc;
}

static void check_evidence(struct audited *r)
{
    const struct evidence *v = r->evidence;
    const struct proof *p = r->proof;
    const uint32_t tokens = evidence_answer_tokens(v);
    const struct evidence_tokens *prompts = v->prompts.at;
    if (memcmp(v->policy, p->attribution_policy, 32) != 0)
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_DIFFERS, "the evidence is by another policy than the proof");
    else if (memcmp(v->payer, p->payer, ADDRESS_BYTES) != 0)
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_DIFFERS, "the evidence names another payer than the proof");
    else if (r->has_statement && tokens != r->statement.statement.answer_tokens)
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_DIFFERS, "the statement says %u answer tokens, the evidence has %u",
                  r->statement.statement.answer_tokens, tokens);
    else if (tokens > p->output_tokens)
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_DIFFERS, "the proof bills %u tokens, the evidence has %u",
                  p->output_tokens, tokens);
    else if (v->prompts.n == 1 && v->choices.n == 1 && (p->status == STATUS_STOP || p->status == STATUS_LENGTH) &&
             prompts->ids.n != p->prompt_tokens)
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_DIFFERS,
                  "the proof bills a prompt of %u tokens, the evidence has %zu", p->prompt_tokens, prompts->ids.n);
    else
        audit_set(r->subject, AUDIT_EVIDENCE, AUDIT_AGREED, "%s", "");
}

/* ---- spans */

static bool same_span(const struct receipt_span *a, const struct receipt_span *b)
{
    return a->start == b->start && a->tokens == b->tokens && a->row == b->row && a->offset == b->offset &&
           a->millibits == b->millibits && memcmp(a->contribution, b->contribution, 32) == 0 &&
           memcmp(a->beneficiary, b->beneficiary, ADDRESS_BYTES) == 0;
}

/* 0, or an error that tells the first difference. */
static int compare_spans(const struct list *said, const struct list *found, const char *where, struct err *e)
{
    const struct receipt_span *s = said->at, *f = found->at;
    char x[12], y[12];
    if (said->n != found->n)
        return err_set(e, OL_EFORMAT, MODULE, "%s has %zu spans, the rule gives %zu", where, said->n, found->n);
    for (size_t i = 0; i < said->n; i++)
        if (!same_span(&s[i], &f[i]))
            return err_set(
                e, OL_EFORMAT, MODULE,
                "span %zu of %s is [%u,%u,%s…,%u,%u,%u], by the rule [%u,%u,%s…,%u,%u,%u], or for another beneficiary",
                i, where, s[i].start, s[i].tokens, audit_short(s[i].contribution, x), s[i].row, s[i].offset,
                s[i].millibits, f[i].start, f[i].tokens, audit_short(f[i].contribution, y), f[i].row, f[i].offset,
                f[i].millibits);
    return 0;
}

static int check_span_units(const struct audited *r, const struct evidence *own, struct audit_room *room, struct err *e)
{
    const struct share *said = r->statement.shares.at, *due = room->shares;
    size_t n = 0, used = 0;
    char x[12];
    int rc =
        shares_of_spans(own->spans.at, own->spans.n, evidence_answer_tokens(own), room->shares, room->division, &n, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < r->statement.shares.n; i++) {
        bool is_due = used < n && memcmp(due[used].beneficiary, said[i].beneficiary, ADDRESS_BYTES) == 0;
        uint32_t units = is_due ? due[used].span_units : 0;
        if (said[i].span_units != units)
            return err_set(e, OL_EFORMAT, MODULE, "the statement gives %s… %u span units, the rule %u",
                           audit_short(said[i].beneficiary, x), said[i].span_units, units);
        used += is_due;
    }
    return used == n ? 0
                     : err_set(e, OL_EFORMAT, MODULE,
                               "the statement has no share for %s…, to whom the rule gives %u span "
                               "units",
                               audit_short(due[used].beneficiary, x), due[used].span_units);
}

static void check_spans(struct audited *r, const struct evidence *own, struct audit_room *room)
{
    const struct bundle_attribution *a =
        r->bundle && r->bundle->bundle.has_attribution ? &r->bundle->bundle.attribution : NULL;
    const struct attribution_statement *s = &r->statement.statement;
    uint8_t root[HASH_BYTES];
    char x[12], y[12];
    struct err e = {0};
    int rc = compare_spans(&r->evidence->spans, &own->spans, "the evidence", &e);
    if (!rc && a)
        rc = compare_spans(&a->spans, &own->spans, "the bundle", &e);
    audit_take(r->subject, AUDIT_SPANS, rc, &e);
    spans_root(own->spans.at, own->spans.n, room->nodes, root);
    rc = memcmp(root, r->proof->span_root, HASH_BYTES) == 0
             ? 0
             : err_set(&e, OL_EFORMAT, MODULE, "the proof's spanRoot is %s…, by the rule it is %s…",
                       audit_short(r->proof->span_root, x), audit_short(root, y));
    audit_take(r->subject, AUDIT_SPAN_ROOT, rc, &e);
    rc = r->evidence->open_tokens == own->open_tokens && (!r->has_statement || s->open_tokens == own->open_tokens)
             ? 0
             : err_set(&e, OL_EFORMAT, MODULE, "the evidence says %u open tokens, the statement %u, the rule gives %u",
                       r->evidence->open_tokens, s->open_tokens, own->open_tokens);
    audit_take(r->subject, AUDIT_OPEN_TOKENS, rc, &e);
    if (r->has_statement)
        audit_take(r->subject, AUDIT_SPAN_UNITS, check_span_units(r, own, room, &e), &e);
}

/* ---- gradients */

/* The published v̂ in this machine's order, owned; NULL: not one of the policy's length, which the subject is told. */
static int16_t *published_query(struct audited *r)
{
    const struct byte_string *q = &r->evidence->gradients.query;
    const size_t k = r->policy->vectors.sketch.dimensions;
    int16_t *out = q->n == 2 * k ? calloc(k, sizeof *out) : NULL;
    for (size_t i = 0; out && i < k; i++)
        out[i] = (int16_t)(uint16_t)(q->at[2 * i] | q->at[2 * i + 1] << 8);
    if (!out)
        audit_set(r->subject, AUDIT_QUERY_HASH, AUDIT_DIFFERS,
                  "the published vector has %zu bytes, the policy's have %zu", q->n, 2 * k);
    return out;
}

static bool same_gradients(const struct list *a, const struct list *b)
{
    const struct gradient_units *x = a->at, *y = b->at;
    for (size_t i = 0; i < a->n && a->n == b->n; i++)
        if (memcmp(x[i].beneficiary, y[i].beneficiary, ADDRESS_BYTES) != 0 || x[i].units != y[i].units)
            return false;
    return a->n == b->n;
}

/* What the statement gives by gradients, into the room. */
static size_t stated_gradients(const struct audited *r, struct gradient_units *out)
{
    const struct share *s = r->statement.shares.at;
    size_t n = 0;
    for (size_t i = 0; i < r->statement.shares.n; i++)
        if (s[i].gradient_units) {
            memcpy(out[n].beneficiary, s[i].beneficiary, ADDRESS_BYTES);
            out[n++].units = s[i].gradient_units;
        }
    return n;
}

static int check_gradient_units(const struct audited *r, const struct evidence *own, struct audit_room *room,
                                struct err *e)
{
    const struct list stated = {room->units, stated_gradients(r, room->units)}, *found = &own->gradients.units;
    uint64_t said = 0, due = 0;
    for (size_t i = 0; i < stated.n; i++)
        said += room->units[i].units;
    for (size_t i = 0; i < found->n; i++)
        due += ((const struct gradient_units *)found->at)[i].units;
    if (r->has_statement && !same_gradients(&stated, found))
        return err_set(e, OL_EFORMAT, MODULE,
                       "the statement gives %llu gradient units to %zu, the published vectors %llu to %zu, "
                       "or to others",
                       (unsigned long long)said, stated.n, (unsigned long long)due, found->n);
    if (!same_gradients(&r->evidence->gradients.units, found))
        return err_set(e, OL_EFORMAT, MODULE,
                       "the evidence's gradient units are not those of the published vectors (%llu to %zu)",
                       (unsigned long long)due, found->n);
    return 0;
}

static int check_gradients(struct audited *r, struct evidence *own, struct audit_room *room, struct err *e)
{
    const struct attribution_statement *s = &r->statement.statement;
    uint8_t hash[HASH_BYTES];
    char x[12], y[12];
    struct err why = {0};
    int16_t *query = published_query(r);
    if (!query)
        return OL_OK;
    query_hash(query, r->policy->vectors.sketch.dimensions, hash);
    int rc = memcmp(hash, s->query_hash, HASH_BYTES) == 0
                 ? 0
                 : err_set(&why, OL_EFORMAT, MODULE, "the statement's queryHash is %s…, the published vector's %s…",
                           audit_short(s->query_hash, x), audit_short(hash, y));
    if (r->has_statement)
        audit_take(r->subject, AUDIT_QUERY_HASH, rc, &why);
    rc = answer_set_gradients(r->policy, query, own, &why);
    if (!rc)
        rc = check_gradient_units(r, own, room, &why);
    if (rc == OL_ENOMEM)
        *e = why;
    audit_take(r->subject, AUDIT_GRADIENT_UNITS, rc, &why);
    free(query);
    return rc == OL_ENOMEM ? rc : audit_query(r, e);
}

static int gradients(struct audited *r, struct evidence *own, struct audit_room *room, struct err *e)
{
    if (r->has_statement ? r->statement.statement.kind != STATEMENT_GRADIENTS : !r->evidence->has_gradients)
        return OL_OK; /* before the statement is signed, the evidence alone says what it will be */
    if (!r->policy->document.has_gradients)
        audit_set(r->subject, AUDIT_GRADIENT_UNITS, AUDIT_DIFFERS, "kind 2 under a policy without gradients");
    else if (!r->evidence->has_gradients)
        audit_set(r->subject, AUDIT_QUERY_HASH, AUDIT_UNAVAILABLE,
                  "the evidence is without the vector that the statement is of: "
                  "ask for it again");
    else if (own->open_tokens == 0)
        audit_set(r->subject, AUDIT_GRADIENT_UNITS, AUDIT_DIFFERS, "kind 2 of an answer without open tokens");
    else
        return check_gradients(r, own, room, e);
    return OL_OK;
}

int audit_evidence(struct audited *r, struct audit_room *room, struct err *e)
{
    struct span_scratch scratch = {0};
    struct evidence own;
    struct err why = {0};
    if (!r->evidence) {
        unavailable(
            r, "no evidence was given: its payer and drawn auditors get it from the node (`openlora wallet attribution "
               "ID --evidence`), as long as it is kept");
        return OL_OK;
    }
    check_evidence(r);
    audit_answer(r);
    if (!r->policy)
        return OL_OK; /* told by its own check */
    int rc = copy(r->evidence, &own, e);
    if (rc)
        return rc;
    rc = answer_spans(r->policy, &scratch, &own, &why);
    if (rc) {
        audit_take(r->subject, AUDIT_SPANS, rc, &why);
        rc = rc == OL_ENOMEM ? err_set(e, rc, MODULE, "%s", why.message) : OL_OK;
    } else {
        check_spans(r, &own, room);
        rc = gradients(r, &own, room, e);
    }
    span_scratch_deinit(&scratch);
    evidence_deinit(&own);
    return rc;
}
