/* An index of spans from a stranger, and questions to it. Input: the number of the answer's tokens, the tokens, a byte
 * each, and the index. Whatever it is, spans lie within the answer and within their documents. */
#include "attribution/span_index_internal.h"
#include "attribution/span_rule.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TOKENS = 255 };

static void ask(const struct span_index *x, const uint8_t *tokens, size_t n)
{
    struct surprisal s = {span_index_vocab(x), calloc(span_index_vocab(x), sizeof(uint16_t))};
    struct span_scratch scratch = {0};
    struct span spans[MAX_TOKENS];
    int32_t ids[MAX_TOKENS];
    uint32_t open;
    for (uint32_t i = 0; i < s.vocab; i++)
        s.millibits[i] = (uint16_t)(1 + i);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(tokens[i] % s.vocab);
    struct span_query q = {.prompt = ids, .prompt_tokens = n / 3, .answer = ids + n / 3, .answer_tokens = n - n / 3};
    size_t n_spans, owned = 0;
    struct err e = {0};
    int rc = span_attribute(x, &s, &q, &scratch, spans, MAX_TOKENS, &n_spans, &open, &e);
    CHECK(rc == 0 || rc == OL_EFORMAT);
    for (size_t i = 0; !rc && i < n_spans; i++) {
        CHECK(spans[i].start >= owned && spans[i].document < span_index_documents(x));
        owned = spans[i].start + spans[i].tokens;
        CHECK(spans[i].tokens && owned <= q.answer_tokens);
        int32_t said[MAX_TOKENS];
        uint32_t got = span_index_read(x, spans[i].document, spans[i].offset, said, spans[i].tokens);
        CHECK(got == spans[i].tokens && !memcmp(said, q.answer + spans[i].start, got * sizeof *said));
    }
    span_scratch_deinit(&scratch);
    surprisal_deinit(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span_index *x;
    struct err e = {0};
    if (!size || (size_t)data[0] + 1 > size)
        return 0;
    size_t n = data[0], bytes = size - 1 - n;
    void *copy = malloc(bytes ? bytes : 1); /* aligned as a mapping is, and of exactly this size */
    memcpy(copy, data + 1 + n, bytes);
    int rc = span_index_parse(copy, bytes, "input", &x, &e);
    CHECK(rc == 0 || (rc == OL_EFORMAT && e.message[0]));
    if (!rc) {
        ask(x, data + 1, n);
        span_index_close(x);
    }
    free(copy);
    return 0;
}
