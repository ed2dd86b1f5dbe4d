#include "chainlite/rpc/rpc_internal.h"
#include "base/clock.h"

enum { POLL_MS = 200, GRACE_MS = 500 };

/* The finished transfers; returns how many ended, counting in *stands those that are answers. */
static size_t collect_finished(struct rpc *rpc, struct rpc_answer *answers, unsigned *running, unsigned *stands)
{
    size_t ended = 0;
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(rpc->multi, &left));) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct endpoint *ep = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&ep);
        size_t i = (size_t)(ep - rpc->of);
        CURLcode code = m->data.result; /* m is gone once the handle is removed */
        endpoint_collect(ep, code, &answers[i]);
        curl_multi_remove_handle(rpc->multi, ep->easy);
        *running &= ~(1u << i);
        *stands += answer_stands(&answers[i]);
        ended++;
    }
    return ended;
}

static void give_up(struct rpc *rpc, unsigned running, struct rpc_answer *answers, int64_t waited_ms)
{
    for (size_t i = 0; i < rpc->n; i++) {
        if (!set_has(running, i))
            continue;
        curl_multi_remove_handle(rpc->multi, rpc->of[i].easy);
        answer_fault(&answers[i], RPC_TIMEOUT, "no answer in %lld ms, when others had answered", (long long)waited_ms);
    }
}

int exchange(struct rpc *rpc, unsigned set, const char *method, const char *params, struct rpc_answer *answers,
             struct err *e)
{
    unsigned running = 0, stands = 0;
    for (size_t i = 0; i < rpc->n; i++) {
        struct endpoint *ep = &rpc->of[i];
        if (!set_has(set, i))
            continue;
        if (endpoint_prepare(ep, method, params) && !curl_multi_add_handle(rpc->multi, ep->easy))
            running |= 1u << i;
        else
            answer_fault(&answers[i], RPC_CONNECTION, "no memory for the question");
    }
    int64_t start_ns = clock_mono_ns(), deadline_ms = INT64_MAX, waited_ms = 0;
    while (running && waited_ms < deadline_ms && !atomic_load(&rpc->cancelled)) {
        int active;
        if (curl_multi_perform(rpc->multi, &active))
            break;
        size_t ended = collect_finished(rpc, answers, &running, &stands);
        waited_ms = (clock_mono_ns() - start_ns) / 1000000;
        if (ended && stands >= rpc->config.quorum && deadline_ms == INT64_MAX)
            deadline_ms = 2 * waited_ms > waited_ms + GRACE_MS ? 2 * waited_ms : waited_ms + GRACE_MS;
        if (running && !ended)
            curl_multi_poll(rpc->multi, NULL, 0, POLL_MS, NULL);
    }
    give_up(rpc, running, answers, waited_ms);
    if (atomic_load(&rpc->cancelled))
        return err_set(e, OL_ECANCELLED, "rpc", "%s was cancelled", method);
    return OL_OK;
}
