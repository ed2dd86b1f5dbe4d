/* GET /metrics: Prometheus text under vLLM's names, so that existing dashboards and routers understand us.
 *
 * Cardinality is bounded: per-adapter samples only for the MAX_ADAPTERS first adapters that are in pages or in host
 * memory, and no histogram carries an adapter's name. */
#include "api/adapter_list.h"
#include "api/app.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_ADAPTERS = 256, MAX_TEXT_BYTES = 4 << 20, MAX_NAMES_BYTES = 64 << 10 };

struct page {
    struct buf text;
    struct buf labels; /* model_name="…",engine="0" */
};

/* Names come from configuration and admins; Prometheus wants \, " and newlines escaped. */
static void add_label(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_add_char(b, '\\');
        buf_add_char(b, *text == '\n' ? ' ' : *text);
    }
}

static void family(struct page *p, const char *name, const char *type, const char *help)
{
    buf_printf(&p->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct page *p, const char *name, const char *more, double value)
{
    buf_printf(&p->text, "%s{%s%s} %.15g\n", name, buf_str(&p->labels), more, value);
}

static void gauge(struct page *p, const char *name, double value, const char *help)
{
    family(p, name, "gauge", help);
    sample(p, name, "", value);
}

/* name with _total, as Prometheus clients write counters. */
static void counter(struct page *p, const char *name, double value, const char *help)
{
    family(p, name, "counter", help);
    sample(p, name, "", value);
}

/* count[n_bounds] is the bucket above every bound. */
static void histogram(struct page *p, const char *name, const double *bounds, const uint64_t *count, int n_bounds,
                      double sum, const char *help)
{
    uint64_t total = 0;
    family(p, name, "histogram", help);
    for (int i = 0; i < n_bounds; i++) {
        total += count[i];
        buf_printf(&p->text, "%s_bucket{%s,le=\"%g\"} %llu\n", name, buf_str(&p->labels), bounds[i],
                   (unsigned long long)total);
    }
    total += count[n_bounds];
    buf_printf(&p->text, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, buf_str(&p->labels), (unsigned long long)total);
    buf_printf(&p->text, "%s_sum{%s} %.15g\n", name, buf_str(&p->labels), sum);
    buf_printf(&p->text, "%s_count{%s} %llu\n", name, buf_str(&p->labels), (unsigned long long)total);
}

static void engine_histograms(struct page *p, const struct engine_stats *s)
{
    const struct {
        const char *name;
        const struct engine_histogram *h;
        const double *bounds;
        const char *help;
    } table[] = {
        {"vllm:time_to_first_token_seconds", &s->ttft_s, engine_time_bounds_s, "From submission to the first token."},
        {"vllm:inter_token_latency_seconds", &s->inter_token_s, engine_time_bounds_s, "Between two output tokens."},
        {"vllm:time_per_output_token_seconds", &s->inter_token_s, engine_time_bounds_s,
         "Older name of inter_token_latency."},
        {"vllm:e2e_request_latency_seconds", &s->e2e_s, engine_time_bounds_s, "From submission to the end."},
        {"vllm:request_queue_time_seconds", &s->queue_s, engine_time_bounds_s, "Waiting before the first step."},
        {"vllm:request_prefill_time_seconds", &s->prefill_s, engine_time_bounds_s,
         "From the first step to the first token."},
        {"vllm:request_decode_time_seconds", &s->decode_s, engine_time_bounds_s, "From the first token to the last."},
        {"vllm:request_prompt_tokens", &s->prompt_len, engine_token_bounds, "Prompt tokens per request."},
        {"vllm:request_generation_tokens", &s->output_len, engine_token_bounds, "Output tokens per request."},
        {"vllm:iteration_tokens_total", &s->step_rows, engine_token_bounds, "Tokens per step."},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        histogram(p, table[i].name, table[i].bounds, table[i].h->count, ENGINE_BUCKETS - 1, table[i].h->sum,
                  table[i].help);
}

static void engine_counters(struct page *p, const struct engine_stats *s)
{
    static const char *const reasons[] = {"stop", "length", "abort", "error"}; /* by enum engine_end */
    counter(p, "vllm:prompt_tokens_total", (double)s->prompt_tokens, "Prompt tokens of requests that ran.");
    counter(p, "vllm:generation_tokens_total", (double)s->output_tokens, "Output tokens.");
    counter(p, "vllm:prefix_cache_queries_total", (double)s->prefix_queries,
            "Prompt tokens looked up in the prefix cache.");
    counter(p, "vllm:prefix_cache_hits_total", (double)s->prefix_hits, "Prompt tokens found there.");
    counter(p, "vllm:num_preemptions_total", (double)s->preemptions, "Sequences put back for want of pages.");
    counter(p, "openlora:worker_restarts_total", (double)s->restarts, "Times a lost compute worker was replaced.");
    counter(p, "openlora:steps_total", (double)s->steps, "Engine steps.");
    counter(p, "openlora:lora_operations_total", (double)s->lora_ops,
            "LoRA operations enqueued; base-only steps add none.");
    counter(p, "openlora:adapter_loads_total", (double)s->adapter_loads, "Adapters read from disk.");
    counter(p, "openlora:adapter_evictions_total", (double)s->adapter_evictions, "Adapters that gave up their pages.");
    counter(p, "openlora:requests_rejected_total", (double)s->rejected, "Requests refused because the queue was full.");
    family(p, "vllm:request_success_total", "counter", "Requests that ended, by reason.");
    for (int i = 0; i < 4; i++) {
        char more[48];
        snprintf(more, sizeof more, ",finished_reason=\"%s\"", reasons[i]);
        sample(p, "vllm:request_success_total", more, (double)s->ended[i]);
    }
}

static void device_info(struct page *p, const struct device_info *d)
{
    family(p, "openlora:device_info", "gauge", "What computes.");
    buf_printf(&p->text, "openlora:device_info{%s,backend=\"%s\",isa=\"%s\",numerics=\"%s\",name=\"",
               buf_str(&p->labels), d->backend, d->isa, d->numerics);
    add_label(&p->text, d->name);
    buf_add_str(&p->text, "\"} 1\n");
}

static void engine_gauges(struct page *p, const struct engine_stats *s)
{
    int used = s->pages_kv - s->pages_cached;
    gauge(p, "vllm:num_requests_running", s->running, "Requests in the running batch.");
    gauge(p, "vllm:num_requests_waiting", s->waiting, "Requests that wait.");
    const struct { const char *name, *help; const int32_t *n; } by_tier[] = {
        {"openlora:requests_running", "Requests in the running batch, by service tier.", s->running_tier},
        {"openlora:requests_waiting", "Requests that wait, by service tier.", s->waiting_tier}};
    for (int i = 0; i < 2; i++) {
        family(p, by_tier[i].name, "gauge", by_tier[i].help);
        for (int tier = 0; tier < SERVICE_TIERS; tier++) {
            char more[32];
            snprintf(more, sizeof more, ",tier=\"%s\"", tier_name(tier));
            sample(p, by_tier[i].name, more, by_tier[i].n[tier]);
        }
    }
    gauge(p, "vllm:kv_cache_usage_perc", s->pages_total ? (double)used / s->pages_total : 0,
          "Share of the pool held by running sequences' KV.");
    gauge(p, "openlora:pages_total", s->pages_total, "Pages of the pool.");
    gauge(p, "openlora:pages_kv", s->pages_kv, "Pages with KV, those of the prefix cache included.");
    gauge(p, "openlora:pages_adapter", s->pages_adapter, "Pages with adapters.");
    gauge(p, "openlora:pages_cached", s->pages_cached, "Pages that only the prefix cache holds.");
    gauge(p, "openlora:device_bytes", (double)memory_plan_taken(&s->memory), "Weights and buffers of the device.");
    gauge(p, "openlora:device_memory_bytes", (double)s->memory.total_bytes, "All memory of the device.");
    device_info(p, &s->device);
    family(p, "vllm:cache_config_info", "gauge", "How the pool is cut.");
    char more[96];
    snprintf(more, sizeof more, ",block_size=\"%d\",num_gpu_blocks=\"%d\"", (int)STEP_PAGE_TOKENS, (int)s->pages_total);
    sample(p, "vllm:cache_config_info", more, 1);
}

/* ---- adapters */

struct adapter_page {
    struct page *page;
    struct buf running, waiting; /* names, separated by commas */
    struct buf loaded, load_seconds;
    int n, in_pages;
};

static void add_name(struct buf *b, const char *name)
{
    if (b->len > 0)
        buf_add_char(b, ',');
    add_label(b, name);
}

static bool add_adapter(void *user, const struct adapter_info *a)
{
    struct adapter_page *p = user;
    const char *labels = buf_str(&p->page->labels);
    p->in_pages += a->in_pages;
    if (p->n == MAX_ADAPTERS || (!a->in_host && !a->in_pages && a->references == 0))
        return true;
    p->n++;
    if (a->references > 0)
        add_name(a->in_pages ? &p->running : &p->waiting, a->name);
    buf_printf(&p->loaded, "vllm:lora_adapter_loaded{%s,adapter_name=\"", labels);
    add_label(&p->loaded, a->name);
    buf_printf(&p->loaded, "\",level=\"%s\",pinned=\"%s\",rank=\"%d\"} 1\n", a->in_pages ? "gpu" : "cpu",
               a->pinned ? "true" : "false", (int)a->rank);
    buf_printf(&p->load_seconds, "vllm:lora_adapter_load_seconds{%s,adapter_name=\"", labels);
    add_label(&p->load_seconds, a->name);
    buf_printf(&p->load_seconds, "\"} %.6g\n", a->load_s);
    return true;
}

static void add_buf(struct buf *to, const struct buf *from) { buf_add(to, buf_str(from), from->len); }

static void adapter_metrics(struct app *app, struct page *p)
{
    struct adapter_page a = {.page = p};
    buf_init(&a.running, MAX_NAMES_BYTES);
    buf_init(&a.waiting, MAX_NAMES_BYTES);
    buf_init(&a.loaded, MAX_TEXT_BYTES);
    buf_init(&a.load_seconds, MAX_TEXT_BYTES);
    if (adapter_list_walk(app, add_adapter, &a) != 0)
        p->text.failed = true;
    family(p, "vllm:lora_requests_info", "gauge", "Adapters with requests; the value is the time of this reading.");
    buf_printf(&p->text, "vllm:lora_requests_info{%s,max_lora=\"%d\",running_lora_adapters=\"", buf_str(&p->labels),
               adapter_store_count(engine_adapters(app->engine)));
    add_buf(&p->text, &a.running);
    buf_add_str(&p->text, "\",waiting_lora_adapters=\"");
    add_buf(&p->text, &a.waiting);
    buf_printf(&p->text, "\"} %lld\n", (long long)time(NULL));
    family(p, "vllm:lora_adapter_loaded", "gauge", "Adapters in memory: level gpu is in pages, cpu in host memory.");
    add_buf(&p->text, &a.loaded);
    family(p, "vllm:lora_adapter_load_seconds", "gauge", "Duration of the last reading from disk.");
    add_buf(&p->text, &a.load_seconds);
    gauge(p, "vllm:num_gpu_loaded_lora_adapters", a.in_pages, "Adapters in pages.");
    gauge(p, "openlora:adapters_registered", adapter_store_count(engine_adapters(app->engine)),
          "Names that can be asked for.");
    buf_deinit(&a.running);
    buf_deinit(&a.waiting);
    buf_deinit(&a.loaded);
    buf_deinit(&a.load_seconds);
}

static void billing_metrics(struct billing *b, struct page *p)
{
    static const char *const states[] = {"unbilled", "stop", "length", "cancelled", "failed"};
    const struct billing_counters *c = &b->counters;
    counter(p, "openlora:billed_wei_total", atomic_load(&c->billed_wei), "Fees of signed receipts, rounded.");
    counter(p, "openlora:billed_prompt_tokens_total", atomic_load(&c->prompt_tokens), "Their prompt tokens.");
    counter(p, "openlora:billed_output_tokens_total", atomic_load(&c->output_tokens), "Their output tokens.");
    counter(p, "openlora:payment_required_total", (double)atomic_load(&c->payment_required),
            "Requests refused because their payer cannot pay.");
    counter(p, "openlora:billing_unavailable_total", (double)atomic_load(&c->unavailable),
            "Requests refused because chainlited was away or said no.");
    counter(p, "openlora:answers_replayed_total", (double)atomic_load(&c->replayed),
            "Kept answers given again for their Idempotency-Key.");
    family(p, "openlora:receipts_total", "counter", "Bills that ended, by status; unbilled: nothing was delivered.");
    for (int i = 0; i < 5; i++) {
        char more[48];
        snprintf(more, sizeof more, ",status=\"%s\"", states[i]);
        sample(p, "openlora:receipts_total", more, (double)atomic_load(&c->receipts[i]));
    }
    struct billing_health h;
    billing_health(b, &h);
    gauge(p, "openlora:billing_ready", !h.refusal, "1: paid work is served.");
    family(p, "openlora:billing_refusing", "gauge", "Why not.");
    for (int i = 0; i < n_billing_refusals; i++) {
        char more[48];
        snprintf(more, sizeof more, ",reason=\"%s\"", billing_refusals[i]);
        sample(p, "openlora:billing_refusing", more, h.refusal && strcmp(h.refusal, billing_refusals[i]) == 0);
    }
    gauge(p, "openlora:receipts_waiting", (double)h.receipts_waiting,
          "Receipts of delivered answers that chainlited has yet to sign.");
    if (h.missing_prices >= 0)
        gauge(p, "openlora:prices_missing", (double)h.missing_prices, "Prices of this node that are not registered yet.");
    if (h.gas_pays_batches >= 0)
        gauge(p, "openlora:gas_pays_batches", (double)h.gas_pays_batches, "Batches that the node's gas balance pays for.");
    gauge(p, "openlora:kept_bytes", (double)ledger_bytes(b->ledger), "Kept answers, salts and sums on disk.");
}

static void attribution_metrics(struct attributor *a, struct page *p)
{
    struct attributor_stats s;
    attributor_stats(a, &s);
    counter(p, "openlora:attribution_answers_total", (double)s.answers, "Answers under a policy.");
    counter(p, "openlora:attribution_answer_tokens_total", (double)s.answer_tokens, "Their tokens.");
    counter(p, "openlora:attribution_span_tokens_total", (double)s.span_tokens, "Those that spans own.");
    counter(p, "openlora:attribution_gradients_total", (double)s.gradients, "Answers whose gradients were computed.");
    counter(p, "openlora:attribution_too_late_total", (double)s.too_late,
            "Of those, that came after their batch: they got the mean.");
    counter(p, "openlora:attribution_failed_total", (double)s.failed, "Answers without gradients of their own.");
    gauge(p, "openlora:attribution_waiting", s.waiting, "Answers that wait for idle time.");
    gauge(p, "openlora:attribution_span_seconds_max", s.span_ms_max / 1000, "Longest time an answer's spans took.");
    gauge(p, "openlora:attribution_gradient_seconds", s.gradient_ms / 1000, "Time of the last answer's gradients.");
}

void metrics(void *user, struct http_request *r)
{
    struct app *app = user;
    struct page p;
    struct engine_stats s;
    buf_init(&p.text, MAX_TEXT_BYTES);
    buf_init(&p.labels, 1024);
    buf_add_str(&p.labels, "model_name=\"");
    add_label(&p.labels, app->model_name);
    buf_add_str(&p.labels, "\",engine=\"0\"");
    engine_stats(app->engine, &s);
    engine_gauges(&p, &s);
    engine_counters(&p, &s);
    engine_histograms(&p, &s);
    pthread_mutex_lock(&app->counters.lock);
    struct counters c = app->counters;
    pthread_mutex_unlock(&app->counters.lock);
    histogram(&p, "vllm:request_params_n", counter_bounds_n, c.n.count, COUNTER_BUCKETS, c.n.sum, "Choices asked for.");
    histogram(&p, "vllm:request_params_max_tokens", counter_bounds_tokens, c.max_tokens.count, COUNTER_BUCKETS,
              c.max_tokens.sum, "Most output tokens asked for.");
    adapter_metrics(app, &p);
    if (app->billing)
        billing_metrics(app->billing, &p);
    if (app->attributor)
        attribution_metrics(app->attributor, &p);
    if (buf_failed(&p.text) || buf_failed(&p.labels))
        http_respond(r, 503, "text/plain; charset=utf-8", "no memory\n", 10);
    else
        http_respond(r, 200, "text/plain; version=0.0.4; charset=utf-8", p.text.data, p.text.len);
    buf_deinit(&p.text);
    buf_deinit(&p.labels);
}
