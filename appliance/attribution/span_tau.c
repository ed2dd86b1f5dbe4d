/* τ, such that answers which owe nothing to the documents are almost never paid for. A token is paid exactly if the
 * best match that covers it is worth more than τ, so one pass at τ = 0 tells for all τ. */
#include "attribution/span_rule.h"
#include "attribution/span_rule_internal.h"

#include <stdlib.h>

enum { MILLION = 1000000, MAX_CALIBRATION_TOKENS = 1 << 28 };

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

static uint32_t ppm_up(uint64_t part, uint64_t whole)
{
    return whole ? (uint32_t)((part * MILLION + whole - 1) / whole) : 0;
}

/* What each token's best match is worth, 0 where there is none; and the best of each answer. */
static int collect(const struct span_index *x, const struct surprisal *s, const struct span_query *nulls, size_t n,
                   uint32_t *tokens, uint32_t *answers, struct err *e)
{
    struct span_scratch scratch = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct span_answer a;
        rc = span_answer_match(x, s, &nulls[i], &scratch, &a, e);
        if (rc)
            break;
        span_answer_pay(&a, 0);
        answers[i] = 0;
        for (uint32_t t = 0; t < a.tokens; t++) {
            uint32_t worth = a.payer[t] == SPAN_NOBODY ? 0 : a.worth[a.payer[t]];
            *tokens++ = worth;
            answers[i] = worth > answers[i] ? worth : answers[i];
        }
    }
    span_scratch_deinit(&scratch);
    return rc;
}

static uint32_t above(const uint32_t *worths, size_t n, uint32_t tau)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += worths[i] > tau;
    return count;
}

int span_calibrate_tau(const struct span_index *x, const struct surprisal *s, const struct span_query *nulls, size_t n,
                       uint32_t max_paid_ppm, struct span_calibration *out, struct err *e)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += nulls[i].answer_tokens;
    if (!total || total > MAX_CALIBRATION_TOKENS || max_paid_ppm > MILLION)
        return err_set(e, OL_EINVAL, "spans", "calibration on %llu tokens, at most %u ppm of them paid",
                       (unsigned long long)total, max_paid_ppm);
    uint32_t *tokens = malloc(total * sizeof *tokens), *answers = malloc(n * sizeof *answers);
    int rc = tokens && answers ? 0 : err_set(e, OL_ENOMEM, "spans", "no memory for calibration");
    if (!rc)
        rc = collect(x, s, nulls, n, tokens, answers, e);
    if (!rc) {
        qsort(tokens, total, sizeof *tokens, descending);
        uint64_t allowed = total * max_paid_ppm / MILLION;
        out->tau_millibits = allowed < total ? tokens[allowed] : 0;
        out->paid_ppm = ppm_up(above(tokens, total, out->tau_millibits), total);
        out->any_paid_ppm = ppm_up(above(answers, n, out->tau_millibits), n);
    }
    free(tokens);
    free(answers);
    return rc;
}
