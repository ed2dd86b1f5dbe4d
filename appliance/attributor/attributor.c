/* Policies and the spans of answers; the gradients are in idle.c. */
#include "attributor/attributor_internal.h"

#include "attribution/answer.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "attributor"

int attributor_open(const struct attributor_config *config, struct attributor **out, struct err *e)
{
    int rc = 0;
    *out = NULL;
    struct attributor *a = calloc(1, sizeof *a);
    struct policy **policies = calloc((size_t)config->n_folders, sizeof *policies);
    if (!a || !policies) {
        free(a);
        free(policies);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for policies");
    }
    a->config = *config;
    a->policies = policies;
    pthread_mutex_init(&a->lock, NULL);
    bool gradients = false;
    for (int i = 0; i < config->n_folders && rc == 0; i++) {
        rc = policy_open(config->folders[i], &policies[i], e);
        a->n_policies += rc == 0;
        gradients = gradients || (rc == 0 && policies[i]->document.has_gradients);
    }
    if (rc == 0 && gradients && config->gradients)
        rc = idle_open(a, &a->idle, e);
    if (rc != 0) {
        attributor_close(a);
        return rc;
    }
    *out = a;
    return 0;
}

void attributor_stop(struct attributor *a)
{
    if (a && a->idle)
        idle_stop(a->idle);
}

void attributor_close(struct attributor *a)
{
    if (!a)
        return;
    if (a->idle)
        idle_close(a->idle);
    for (int i = 0; i < a->n_policies; i++)
        policy_close(a->policies[i]);
    free(a->policies);
    span_scratch_deinit(&a->scratch);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* A policy's document says what it is; the row that published it says its id, and only the registry's catalog knows that. */
static bool row_of(const struct attributor *a, const struct policy *p, uint8_t id[32])
{
    struct catalog *catalog = billing_catalog(a->config.billing);
    const struct catalogued_version *v = NULL;
    if (catalog)
        v = chain_catalog_by_content(&catalog->served.rows, p->hash, p->document.has_adapter ? p->document.adapter_version.id
                                                                                     : p->document.model_version);
    if (v)
        memcpy(id, v->id, 32);
    catalog_release(catalog);
    return v != NULL;
}

const struct policy *attributor_policy(const struct attributor *a, const uint8_t id[32])
{
    uint8_t row[32];
    for (int i = 0; i < a->n_policies; i++)
        if (row_of(a, a->policies[i], row) && memcmp(row, id, 32) == 0)
            return a->policies[i];
    return NULL;
}

bool attributor_awaits(const struct attributor *a, const struct evidence *v)
{
    const struct policy *p = a->idle && v->open_tokens > 0 ? attributor_policy(a, v->policy) : NULL;
    return p && p->document.has_gradients;
}

void attributor_recorded(struct attributor *a, const struct evidence *v, const uint8_t signature[SIGNATURE_BYTES],
                         bool first)
{
    const struct policy *p = attributor_policy(a, v->policy);
    if (p && attributor_awaits(a, v))
        idle_add(a->idle, v->receipt_id, policy_draws(&p->document, signature), first);
}

void attributor_stats(struct attributor *a, struct attributor_stats *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->stats;
    pthread_mutex_unlock(&a->lock);
    out->waiting = a->idle ? idle_waiting(a->idle) : 0;
}

/* ---- an answer */

/* The newest published policy of the version that answered: policies are versioned, and folders come in order. */
static const struct policy *policy_for(const struct attributor *a, const struct attributor_answer *q, uint8_t id[32])
{
    for (int i = a->n_policies; i-- > 0;)
        if (policy_covers(a->policies[i], q->model_version, q->adapter_version) && row_of(a, a->policies[i], id))
            return a->policies[i];
    return NULL;
}

static bool copy_list(struct list *to, const void *from, size_t n, size_t bytes)
{
    to->at = n ? malloc(n * bytes) : NULL;
    to->n = to->at ? n : 0;
    if (to->at)
        memcpy(to->at, from, n * bytes);
    return to->at || n == 0;
}

/* Prompts and choices into the evidence. */
static int take_tokens(const struct attributor_answer *q, struct evidence *v, struct err *e)
{
    struct evidence_tokens *prompts = calloc(q->n_prompts, sizeof *prompts);
    struct evidence_choice *choices = calloc(q->n_choices, sizeof *choices);
    bool ok = prompts && choices;
    v->prompts = (struct list){prompts, prompts ? q->n_prompts : 0};
    v->choices = (struct list){choices, choices ? q->n_choices : 0};
    for (size_t i = 0; i < q->n_prompts && ok; i++)
        ok = copy_list(&prompts[i].ids, q->prompts[i].ids, q->prompts[i].n, sizeof *q->prompts[i].ids);
    for (size_t i = 0; i < q->n_choices && ok; i++) {
        choices[i].prompt = q->choices[i].prompt;
        ok = copy_list(&choices[i].ids, q->choices[i].ids, q->choices[i].n, sizeof *q->choices[i].ids);
    }
    return ok ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for the answer's tokens");
}

static void count(struct attributor *a, const struct evidence *v, int64_t began_ns)
{
    const struct receipt_span *spans = v->spans.at;
    double ms = (double)(clock_mono_ns() - began_ns) / 1e6;
    a->stats.answers++;
    a->stats.answer_tokens += evidence_answer_tokens(v);
    for (size_t i = 0; i < v->spans.n; i++)
        a->stats.span_tokens += spans[i].tokens;
    if (ms > a->stats.span_ms_max)
        a->stats.span_ms_max = ms;
}

int attributor_answer(struct attributor *a, const struct attributor_answer *q, struct evidence *out, bool *covered,
                      struct err *e)
{
    *out = (struct evidence){.version = EVIDENCE_VERSION};
    const struct policy *p = policy_for(a, q, out->policy);
    *covered = p != NULL;
    if (!p)
        return 0;
    memcpy(out->receipt_id, q->receipt_id, 32);
    memcpy(out->payer, q->payer, ADDRESS_BYTES);
    int rc = take_tokens(q, out, e);
    if (rc == 0) {
        const int64_t began_ns = clock_mono_ns();
        pthread_mutex_lock(&a->lock);
        rc = answer_spans(p, &a->scratch, out, e);
        if (rc == 0)
            count(a, out, began_ns);
        pthread_mutex_unlock(&a->lock);
    }
    if (rc != 0)
        evidence_deinit(out);
    return rc;
}
