/* Several endpoints as one: whom to ask, the chain id before anything counts, agreement.
 *
 * Invariant: an answer is handed out only if the endpoint said the right chain id after the connection was made over
 * which the answer came: before the question when it was not checked yet, after it when the question itself had to
 * reconnect (whoever listens there now may be another). */
#include "chainlite/rpc/rpc_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "chainlite/rpc/fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int check_config(const struct rpc_config *c, struct err *e)
{
    if (!c->n_urls || c->n_urls > RPC_MAX_ENDPOINTS)
        return err_set(e, OL_EINVAL, "rpc", "%zu endpoints; give 1 to %d", c->n_urls, RPC_MAX_ENDPOINTS);
    if (!c->quorum || c->quorum > c->n_urls)
        return err_set(e, OL_EINVAL, "rpc", "a quorum of %u with %zu endpoints; give 1 to %zu", c->quorum, c->n_urls,
                       c->n_urls);
    for (size_t i = 0; i < c->n_urls; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(c->urls[i], c->urls[j]))
                return err_set(e, OL_EINVAL, "rpc", "endpoints %zu and %zu are the same and would always agree", j + 1,
                               i + 1);
    return OL_OK;
}

int rpc_open(const struct rpc_config *config, struct rpc **out, struct err *e)
{
    int rc = check_config(config, e);
    if (rc)
        return rc;
    struct rpc *rpc = calloc(1, sizeof *rpc);
    if (!rpc)
        return err_set(e, OL_ENOMEM, "rpc", "no memory for the endpoints");
    rpc->config = *config;
    rpc->config.urls = NULL;
    if (!rpc->config.connect_timeout_ms)
        rpc->config.connect_timeout_ms = 3000;
    if (!rpc->config.timeout_ms)
        rpc->config.timeout_ms = 10000;
    if (!rpc->config.max_answer_bytes)
        rpc->config.max_answer_bytes = 8u << 20;
    rpc->multi = curl_multi_init();
    if (!rpc->multi)
        rc = err_set(e, OL_ENOMEM, "rpc", "no memory for the endpoints");
    for (; !rc && rpc->n < config->n_urls; rpc->n++) {
        rc = endpoint_init(&rpc->of[rpc->n], config->urls[rpc->n], &rpc->config, e);
        if (rc)
            err_prefix(e, "endpoint %zu", rpc->n + 1);
    }
    if (rc) {
        rpc_close(rpc);
        return rc;
    }
    *out = rpc;
    return OL_OK;
}

void rpc_close(struct rpc *rpc)
{
    if (!rpc)
        return;
    for (size_t i = 0; i < rpc->n; i++)
        endpoint_deinit(&rpc->of[i]);
    curl_multi_cleanup(rpc->multi);
    free(rpc);
}

void rpc_cancel(struct rpc *rpc)
{
    atomic_store(&rpc->cancelled, true);
    curl_multi_wakeup(rpc->multi);
}

size_t rpc_count(const struct rpc *rpc) { return rpc->n; }

void rpc_status(const struct rpc *rpc, size_t endpoint, struct rpc_status *out)
{
    CHECK(endpoint < rpc->n);
    const struct endpoint *ep = &rpc->of[endpoint];
    int64_t now = clock_mono_ns();
    memset(out, 0, sizeof *out);
    memcpy(out->name, ep->name, sizeof out->name);
    memcpy(out->last_message, ep->last_message, sizeof out->last_message);
    out->chain_checked = ep->chain_checked;
    out->paused = endpoint_paused(ep, now) || endpoint_limited(ep, now);
    out->failures = ep->failures;
    out->asked = ep->asked;
    out->failed = ep->failed;
    out->latency_ms = (uint32_t)(ep->latency_ms + 0.999);
    out->head = ep->head;
    out->last_fault = ep->last_fault;
}

unsigned rpc_available(const struct rpc *rpc)
{
    int64_t now = clock_mono_ns();
    unsigned ready = 0, resting = 0, n_ready = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        if (endpoint_limited(&rpc->of[i], now))
            continue;
        if (endpoint_paused(&rpc->of[i], now))
            resting |= 1u << i;
        else
            ready |= 1u << i, n_ready++;
    }
    return n_ready >= rpc->config.quorum ? ready : ready | resting;
}

size_t rpc_order(const struct rpc *rpc, size_t order[RPC_MAX_ENDPOINTS])
{
    int64_t now = clock_mono_ns();
    size_t n = 0;
    for (size_t i = 0; i < rpc->n; i++) { /* insertion sort of at most eight */
        const struct endpoint *ep = &rpc->of[i];
        if (endpoint_limited(ep, now))
            continue;
        size_t at = n++;
        for (; at > 0; at--) {
            const struct endpoint *before = &rpc->of[order[at - 1]];
            int rest = endpoint_paused(ep, now) - endpoint_paused(before, now);
            if (rest > 0 || (!rest && ep->failures > before->failures) ||
                (!rest && ep->failures == before->failures && ep->latency_ms >= before->latency_ms))
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return n;
}

void rpc_blame(struct rpc *rpc, size_t endpoint, struct rpc_answer *answer, enum rpc_fault fault, const char *format,
               ...)
{
    char message[RPC_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    endpoint_blame(&rpc->of[endpoint], fault, message);
    answer_deinit(answer);
    answer_fault(answer, fault, "%s", message);
}

/* Asks `set` for the chain id; faults of those that did not say the right one go to answers, which must hold no results
 * for them. Returns in *right those that did. */
static int check_chain(struct rpc *rpc, unsigned set, struct rpc_answer *answers, unsigned *right, struct err *e)
{
    *right = 0;
    if (!set)
        return OL_OK;
    int rc = exchange(rpc, set, "eth_chainId", "[]", answers, e);
    for (size_t i = 0; i < rpc->n; i++) {
        uint64_t id;
        if (!set_has(set, i))
            continue;
        if (!rc && !answer_stands(&answers[i])) /* a chain id alone does not make up for failures */
            endpoint_count(&rpc->of[i], &answers[i]);
        if (answers[i].fault == RPC_REFUSED)
            rpc_blame(rpc, i, &answers[i], RPC_MALFORMED, "it does not tell its chain id");
        if (answers[i].fault != RPC_FINE)
            continue;
        if (!field_u64(answers[i].result, &id)) {
            rpc_blame(rpc, i, &answers[i], RPC_MALFORMED, "its chain id is not a number");
        } else if (id != rpc->config.chain_id) {
            rpc_blame(rpc, i, &answers[i], RPC_WRONG_CHAIN, "chain id %" PRIu64 ", not %" PRIu64, id,
                      rpc->config.chain_id);
        } else {
            answer_deinit(&answers[i]);
            rpc->of[i].chain_checked = true;
            *right |= 1u << i;
        }
    }
    return rc;
}

/* Answers over new connections stand only if the same chain is behind them. */
static int recheck_chain(struct rpc *rpc, unsigned set, struct rpc_answers *out, struct err *e)
{
    struct rpc_answer checks[RPC_MAX_ENDPOINTS];
    unsigned again = 0, right;
    memset(checks, 0, sizeof checks);
    for (size_t i = 0; i < rpc->n; i++)
        if (set_has(set, i) && answer_stands(&out->of[i]) && rpc->of[i].new_connection)
            again |= 1u << i;
    int rc = check_chain(rpc, again, checks, &right, e);
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(again & ~right, i))
            continue;
        answer_deinit(&out->of[i]);
        answer_deinit(&checks[i]); /* it holds one only after a cancellation */
        out->of[i] = checks[i];
    }
    return rc;
}

int rpc_ask_set(struct rpc *rpc, unsigned set, const char *method, json_t *params, struct rpc_answers *out,
                struct err *e)
{
    unsigned unchecked = 0, right = 0;
    out->n = rpc->n;
    for (size_t i = 0; i < rpc->n; i++) {
        answer_fault(&out->of[i], RPC_NOT_ASKED, "%s", rpc->of[i].last_message);
        if (set_has(set, i) && !rpc->of[i].chain_checked)
            unchecked |= 1u << i;
    }
    char *text = json_dumps(params, JSON_COMPACT);
    if (!text)
        return err_set(e, OL_ENOMEM, "rpc", "no memory for the parameters of %s", method);
    int rc = check_chain(rpc, unchecked, out->of, &right, e);
    set = (set & ~unchecked) | right;
    if (!rc && set)
        rc = exchange(rpc, set, method, text, out->of, e);
    for (size_t i = 0; !rc && i < rpc->n; i++)
        if (set_has(set, i))
            endpoint_count(&rpc->of[i], &out->of[i]);
    if (!rc)
        rc = recheck_chain(rpc, set, out, e);
    free(text);
    return rc;
}

int rpc_ask_one(struct rpc *rpc, size_t endpoint, const char *method, json_t *params, struct rpc_answer *out,
                struct err *e)
{
    struct rpc_answers answers;
    int rc = rpc_ask_set(rpc, 1u << endpoint, method, params, &answers, e);
    *out = answers.of[endpoint]; /* the only one that can hold a result */
    return rc;
}

int rpc_explain(const struct rpc *rpc, const struct rpc_answers *answers, int code, struct err *e, const char *format,
                ...)
{
    char text[ERR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    size_t n = (size_t)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool brief = rpc->n > 2; /* more than two messages do not fit */
    for (size_t i = 0; i < rpc->n && n < sizeof text; i++) {
        const struct rpc_answer *a = &answers->of[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "; %s: %s%s%s", rpc->of[i].name, rpc_fault_name(a->fault),
                              brief || !*a->message ? "" : ", ", brief ? "" : a->message);
    }
    return err_set(e, code, "rpc", "%s", text);
}

int rpc_check(struct rpc *rpc, struct err *e)
{
    struct rpc_answers answers = {.n = rpc->n};
    for (size_t i = 0; i < rpc->n; i++)
        answer_fault(&answers.of[i], RPC_NOT_ASKED, "asked to wait");
    unsigned right, available = rpc_available(rpc);
    int rc = check_chain(rpc, available, answers.of, &right, e);
    for (size_t i = 0; !rc && i < rpc->n; i++)
        if (answers.of[i].fault == RPC_WRONG_CHAIN)
            rc = rpc_explain(rpc, &answers, OL_EINVAL, e, "wrong_chain: correct the endpoints or the chain id");
    if (!rc && (unsigned)__builtin_popcount(right) < rpc->config.quorum)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "no_quorum: chain id by %d of %u", __builtin_popcount(right),
                         rpc->config.quorum);
    rpc_answers_deinit(&answers);
    return rc;
}

int rpc_ask(struct rpc *rpc, const char *method, json_t *params, struct rpc_answers *out, struct err *e)
{
    int rc = rpc_ask_set(rpc, rpc_available(rpc), method, params, out, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < out->n; i++)
        if (answer_stands(&out->of[i]))
            return OL_OK;
    return rpc_explain(rpc, out, OL_EIO, e, "no_answer: %s", method);
}

int rpc_ask_until(struct rpc *rpc, const char *method, json_t *params,
                  enum rpc_fault (*take)(void *user, size_t endpoint, const json_t *result, char *message), void *user,
                  struct err *e)
{
    struct rpc_answers told = {.n = rpc->n};
    size_t order[RPC_MAX_ENDPOINTS], n = rpc_order(rpc, order);
    for (size_t i = 0; i < rpc->n; i++)
        answer_fault(&told.of[i], RPC_NOT_ASKED, "%s", rpc->of[i].last_message);
    for (size_t at = 0; at < n; at++) {
        size_t i = order[at];
        int rc = rpc_ask_one(rpc, i, method, params, &told.of[i], e);
        if (rc)
            return rc;
        if (told.of[i].fault != RPC_FINE)
            continue;
        char message[RPC_MESSAGE_BYTES] = "";
        enum rpc_fault fault = take(user, i, told.of[i].result, message);
        answer_deinit(&told.of[i]);
        if (fault == RPC_FINE)
            return OL_OK;
        if (fault == RPC_REFUSED)
            answer_fault(&told.of[i], fault, "%s", message);
        else
            rpc_blame(rpc, i, &told.of[i], fault, "%s", message);
    }
    return rpc_explain(rpc, &told, OL_EIO, e, "no_answer: %s", method);
}

int rpc_agree(struct rpc *rpc, const char *method, json_t *params, json_t **result, struct err *e)
{
    struct rpc_answers answers;
    int rc = rpc_ask(rpc, method, params, &answers, e);
    unsigned most = 0;
    size_t best = 0;
    for (size_t i = 0; !rc && i < answers.n; i++) {
        unsigned same = 0;
        for (size_t j = 0; answers.of[i].fault == RPC_FINE && j < answers.n; j++)
            same += answers.of[j].fault == RPC_FINE && json_equal(answers.of[i].result, answers.of[j].result);
        if (same > most)
            most = same, best = i;
    }
    if (!rc && most < rpc->config.quorum)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "no_quorum: %u of %u agree on %s", most, rpc->config.quorum, method);
    if (!rc)
        *result = json_incref(answers.of[best].result);
    rpc_answers_deinit(&answers);
    return rc;
}
