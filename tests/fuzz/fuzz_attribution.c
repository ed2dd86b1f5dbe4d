/* The outbox's rows of attribution and what is computed from them. Input: a byte that says which row, then the row. What
 * can be read is written again without a difference; spans that are possible give shares, a statement and postings that
 * add up. */
#include "chainlite/settle/outbox_internal.h"
#include "chainlite/settle/statement_make.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_row(const struct schema *schema, const uint8_t *data, size_t size, void *out)
{
    struct buf again;
    if (row_unpack(schema, data, size, out, NULL, NULL, NULL) != 0)
        return false;
    buf_init(&again, 1 << 24);
    row_pack(schema, out, NULL, 0, &again);
    /* A bool is any byte when it is read. */
    CHECK(!buf_failed(&again) && again.len == size);
    buf_deinit(&again);
    return true;
}

static void check_postings(const struct signed_statement *s)
{
    const uint8_t pool[ADDRESS_BYTES] = {0xff};
    const wei_t data_wei = ((wei_t)0x123456789abcdef << 64) + 987654321;
    struct posting *postings = calloc(s->shares.n + 1, sizeof *postings);
    wei_t sum = 0;
    CHECK(postings);
    size_t n = shares_postings(s->shares.at, s->shares.n, data_wei, pool, 1, postings);
    for (size_t i = 0; i < n; i++)
        sum += postings[i].amount_wei;
    CHECK(n <= s->shares.n + 1 && sum == data_wei);
    free(postings);
}

static void state(const struct outbox_attribution *a, const struct outbox_mean *mean)
{
    struct proof p = {.output_tokens = UINT32_MAX, .attribution_policy = {1}};
    struct signed_statement s;
    struct sumnode *nodes = calloc(a->spans.n + 1, sizeof *nodes);
    uint32_t tokens;
    CHECK(nodes);
    if (spans_check(a->spans.at, a->spans.n, a->answer_tokens, a->open_tokens, &tokens, NULL) == 0 &&
        gradients_check(a->gradient.at, a->gradient.n, a->open_tokens, a->answer_tokens, NULL) == 0) {
        spans_root(a->spans.at, a->spans.n, nodes, p.span_root);
        if (statement_make(&p, a, mean, &s, NULL) == 0) {
            check_postings(&s);
            schema_free(&signed_statement_schema, &s);
        } else {
            CHECK(a->spans.n > RECEIPT_MAX_SHARES); /* the only reason that is left */
        }
    }
    free(nodes);
}

static bool possible_mean(const struct outbox_mean *m)
{
    const struct gradient_sum *sums = m->sums.at;
    wei_t sum = 0;
    for (size_t i = 0; i < m->sums.n; i++) {
        sum += sums[i].units;
        if (i && memcmp(sums[i - 1].beneficiary, sums[i].beneficiary, ADDRESS_BYTES) >= 0)
            return false;
    }
    return sum <= m->sum_open && (m->sums.n == 0 || sums[0].beneficiary[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct receipt_span span = {.start = 1, .tokens = 9, .beneficiary = {1}};
    struct outbox_attribution a, plain = {.answer_tokens = 100, .open_tokens = 77, .spans = {&span, 1}};
    struct signed_statement s;
    struct outbox_mean m;
    if (size == 0)
        return 0;
    if (data[0] == 0 && read_row(&outbox_attribution_schema, data + 1, size - 1, &a)) {
        state(&a, NULL);
        schema_free(&outbox_attribution_schema, &a);
    } else if (data[0] == 1 && read_row(&signed_statement_schema, data + 1, size - 1, &s)) {
        schema_free(&signed_statement_schema, &s);
    } else if (data[0] == 2 && read_row(&outbox_mean_schema, data + 1, size - 1, &m)) {
        if (possible_mean(&m))
            state(&plain, &m);
        schema_free(&outbox_mean_schema, &m);
    }
    return 0;
}
