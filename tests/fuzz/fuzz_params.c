/* Request bodies of both completion routes. Input: the body. What is accepted must be within the documented ranges;
 * messages that are accepted are plain text. */
#include "api/messages.h"
#include "api/params.h"
#include "base/err.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 1000 };

static void check_params(const struct params *p)
{
    CHECK(p->n >= 1 && p->n <= 16 && p->max_tokens >= 0);
    CHECK(p->sampling.temperature >= 0 && p->sampling.temperature <= 2);
    CHECK(p->sampling.top_p > 0 && p->sampling.top_p <= 1 && p->sampling.min_p >= 0 && p->sampling.min_p <= 1);
    CHECK(p->sampling.top_k >= 0 && p->sampling.top_k < VOCAB && p->sampling.repetition > 0);
    CHECK(p->sampling.n_top >= 0 && p->sampling.n_top <= STEP_TOP_LOGPROBS && p->stop.n <= STOP_MAX);
    for (int i = 0; i < p->sampling.n_bias; i++)
        CHECK(p->bias[i].token >= 0 && p->bias[i].token < VOCAB);
}

static void check_messages(const json_t *messages)
{
    struct api_error e = {0};
    json_t *plain = messages_normalise(messages, &e), *m;
    size_t i;
    CHECK(plain || e.status >= 400);
    json_array_foreach(plain, i, m)
        CHECK(json_is_string(json_object_get(m, "role")) && json_is_string(json_object_get(m, "content")));
    json_decref(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum route routes[] = {ROUTE_CHAT, ROUTE_COMPLETIONS};
    json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (!body)
        return 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct params p;
        struct api_error e = {0};
        int rc = params_parse(body, routes[i], VOCAB, &p, &e);
        CHECK(rc == 0 || (e.status >= 400 && e.message[0]));
        if (rc != 0)
            continue;
        check_params(&p);
        if (routes[i] == ROUTE_CHAT)
            check_messages(p.messages);
        params_deinit(&p);
    }
    json_decref(body);
    return 0;
}
