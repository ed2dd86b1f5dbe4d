/* Statements and means; see statement_make.h. */
#include "chainlite/settle/statement_make.h"

#include <stdlib.h>
#include <string.h>

struct maker { /* room for the most that one answer can have; one allocation */
    struct division division[RECEIPT_MAX_SHARES + 1];
    struct gradient_units gradient[OUTBOX_MAX_MEAN_SUMS];
    struct share shares[RECEIPT_MAX_SHARES + 1];
    struct sumnode nodes[RECEIPT_MAX_SHARES];
};

/* Span units and, by the kind, gradient units. */
static int fill_shares(struct maker *m, const struct outbox_attribution *a, const struct outbox_mean *mean, uint8_t kind,
                       size_t *n, struct err *e)
{
    const struct gradient_units *gradient = m->gradient;
    size_t n_gradient = 0;
    int rc = shares_of_spans(a->spans.at, a->spans.n, a->answer_tokens, m->shares, m->division, n, e);
    if (kind == STATEMENT_GRADIENTS) {
        gradient = a->gradient.at;
        n_gradient = a->gradient.n;
    } else if (kind == STATEMENT_MEAN) {
        gradients_mean(mean->sums.at, mean->sums.n, mean->sum_open, a->open_tokens, a->answer_tokens, m->gradient,
                       m->division, &n_gradient);
    }
    return rc ? rc : shares_merge(m->shares, n, gradient, n_gradient, e);
}

static int fill(struct maker *m, const struct proof *p, const struct outbox_attribution *a, const struct outbox_mean *mean,
                struct signed_statement *out, struct err *e)
{
    struct attribution_statement *s = &out->statement;
    size_t n;
    *s = (struct attribution_statement){.epoch = p->epoch,
                                        .sequence = p->sequence,
                                        .answer_tokens = a->answer_tokens,
                                        .open_tokens = a->open_tokens};
    s->kind = a->has_gradient ? STATEMENT_GRADIENTS : mean ? STATEMENT_MEAN : STATEMENT_SPANS;
    int rc = fill_shares(m, a, mean, s->kind, &n, e);
    if (rc == OL_ELIMIT && s->kind != STATEMENT_SPANS) {
        s->kind = STATEMENT_SPANS;
        rc = fill_shares(m, a, mean, s->kind, &n, e);
    }
    if (!rc)
        rc = shares_root(m->shares, n, m->nodes, s->shares_root, &s->shares_total, e);
    if (rc)
        return rc;
    memcpy(s->receipt_id, p->receipt_id, 32);
    memcpy(s->node, p->node, ADDRESS_BYTES);
    memcpy(s->policy, p->attribution_policy, 32);
    memcpy(s->span_root, p->span_root, 32);
    if (s->kind == STATEMENT_GRADIENTS)
        memcpy(s->query_hash, a->query_hash, 32);
    s->shares_count = (uint32_t)n;
    out->shares = (struct list){malloc((n + 1) * sizeof(struct share)), n};
    if (!out->shares.at)
        return err_set(e, OL_ENOMEM, "statements", "no memory for shares");
    memcpy(out->shares.at, m->shares, n * sizeof(struct share));
    return statement_check(s, p, e);
}

int statement_make(const struct proof *p, const struct outbox_attribution *a, const struct outbox_mean *mean,
                   struct signed_statement *out, struct err *e)
{
    struct maker *m = malloc(sizeof *m);
    memset(out, 0, sizeof *out);
    int rc = m ? fill(m, p, a, mean, out, e) : err_set(e, OL_ENOMEM, "statements", "no memory for a statement");
    if (rc) {
        schema_free(&signed_statement_schema, out);
        err_prefix(e, "the statement of receipt %llu", (unsigned long long)p->sequence);
    }
    free(m);
    return rc;
}

/* Both lists are sorted. */
static size_t merge_sums(const struct gradient_sum *sums, size_t n, const struct gradient_units *g, size_t n_g,
                         struct gradient_sum *out)
{
    size_t i = 0, j = 0, k = 0;
    for (; i < n || j < n_g; k++) {
        int order = i == n ? 1 : j == n_g ? -1 : memcmp(sums[i].beneficiary, g[j].beneficiary, ADDRESS_BYTES);
        memcpy(out[k].beneficiary, order <= 0 ? sums[i].beneficiary : g[j].beneficiary, ADDRESS_BYTES);
        out[k].units = order <= 0 ? sums[i++].units : 0;
        out[k].units += order >= 0 ? g[j++].units : 0;
    }
    return k;
}

int mean_add(struct outbox_mean *m, const struct outbox_attribution *a, struct err *e)
{
    struct gradient_sum *out = malloc((m->sums.n + a->gradient.n + 1) * sizeof *out);
    if (!out)
        return err_set(e, OL_ENOMEM, "statements", "no memory for a mean");
    size_t n = merge_sums(m->sums.at, m->sums.n, a->gradient.at, a->gradient.n, out);
    if (n > OUTBOX_MAX_MEAN_SUMS) {
        free(out);
        return err_set(e, OL_ELIMIT, "statements", "a policy's mean has %d beneficiaries at most", OUTBOX_MAX_MEAN_SUMS);
    }
    free(m->sums.at);
    m->sums = (struct list){out, n};
    m->sum_open += units_of_tokens(a->open_tokens, a->answer_tokens);
    return 0;
}
