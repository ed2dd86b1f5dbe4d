/* What openlorad says of an answer's attribution, checked before it is signed: the policy is registered and one of the
 * version that answered, the spans are possible and few enough to be stated later. Whether they are true is audited. */
#include "chainlite/settle/recorder_internal.h"

#include <stdlib.h>
#include <string.h>

int recorder_check_policies(struct recorder *r, const struct record_request *requests, struct record_result *results,
                            size_t n, struct err *e)
{
    const struct chain_view *view = r->config.view;
    for (size_t i = 0; view && i < n; i++) {
        struct err why = {0};
        bool there = false;
        if (!requests[i].has_attribution)
            continue;
        if (view->registered(view->user, requests[i].attribution.policy, &there, &why) != 0)
            return err_set(e, OL_EBUSY, "recorder", "whether the policy is registered cannot be proven: %.120s",
                           why.message);
        if (!there)
            recorder_refuse(&results[i], "not_registered", "the registry does not have this policy yet");
    }
    return 0;
}

/* Of the catalog's policies, one for what answered. */
static bool fits(struct recorder *r, const uint8_t policy[32], const struct outbox_reservation *row)
{
    static const uint8_t none[32];
    const uint8_t *version = memcmp(row->adapter_version, none, 32) != 0 ? row->adapter_version : row->model_version;
    const struct catalogued_version *v = chain_catalog_version(recorder_catalog_lock(r), policy);
    bool yes = v && v->kind == ITEM_POLICY && memcmp(v->row.base_version, version, 32) == 0;
    recorder_catalog_unlock(r);
    return yes;
}

struct room { /* for the shares of an answer's spans, which must fit later */
    struct share shares[RECEIPT_MAX_SHARES + 1];
    struct division division[RECEIPT_MAX_SHARES + 1];
    struct sumnode nodes[RECEIPT_MAX_SPANS];
};

int recorder_attribution(struct recorder *r, const struct record_request *q, const struct outbox_reservation *row,
                         struct record_result *out, uint8_t span_root[32], struct err *e)
{
    const struct record_attribution *a = &q->attribution;
    struct room *room = malloc(sizeof *room);
    struct err why = {0};
    uint32_t tokens;
    size_t n;
    if (!room)
        return err_set(e, OL_ENOMEM, "recorder", "no memory for spans");
    if (!fits(r, a->policy, row))
        recorder_refuse(out, "not_registered", "the catalog has no such policy of this version: register it, then reload");
    else if (a->answer_tokens > q->output_tokens)
        recorder_refuse(out, "invalid", "an answer of %u tokens; %u came out", a->answer_tokens, q->output_tokens);
    else if (spans_check(a->spans.at, a->spans.n, a->answer_tokens, a->open_tokens, &tokens, &why) != 0 ||
             shares_of_spans(a->spans.at, a->spans.n, a->answer_tokens, room->shares, room->division, &n, &why) != 0)
        recorder_refuse(out, "invalid", "%.180s", why.message);
    else
        spans_root(a->spans.at, a->spans.n, room->nodes, span_root);
    free(room);
    return 0;
}
