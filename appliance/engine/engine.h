/* The engine: requests in, tokens out. One thread of its own runs scheduler and device; everything here may be
 * called from any thread. */
#ifndef OPENLORA_ENGINE_ENGINE_H
#define OPENLORA_ENGINE_ENGINE_H

#include "base/err.h"
#include "engine/adapter_store.h"
#include "kernels/ops.h"
#include "model/model_file.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* Where steps are computed: in this process, or in a worker process of its own (worker_process.h). */
enum engine_worker { WORKER_OFF, WORKER_ON, WORKER_AUTO /* a worker on a GPU, none on the CPU */ };

struct engine_config { /* zero = the default in brackets */
    const char *model_path;
    const char *device_name;    /* see device_choose [auto] */
    struct device_config device; /* .index is chosen by device_name */
    enum engine_worker worker;  /* [off]; programs that take another value serve worker_main */
    int32_t step_timeout_ms;    /* of a step of a worker: a longer one ends the worker [30,000] */
    size_t pool_bytes;          /* pages for KV and adapters [CPU: the smaller of 1 GiB and a quarter of memory; GPU:
                                   what is left when all else is there] */
    int32_t max_context;        /* tokens per sequence [the smaller of 8,192 and the model's] */
    int32_t max_seqs;           /* sequences running together [64] */
    int32_t max_rows;           /* tokens per step; prompts are cut to fit [512] */
    int32_t max_queue;          /* requests waiting beyond those running [256] */
    size_t adapter_host_bytes;  /* host images of adapters [512 MiB] */
    const char *const *adapter_roots;
    int n_adapter_roots;
    bool no_prefix_cache, no_lora;
};

struct sampling {
    float temperature, top_p, min_p;
    int32_t top_k;
    float repetition, frequency, presence;
    uint64_t seed;
    const struct step_bias *bias; /* borrowed during submit */
    int32_t n_bias;
    int32_t n_top;                /* alternatives wanted per token, 0 .. 20 */
};

/* Who goes first when not everybody can: see tenants.h. Numbered as prices number their tiers. */
enum service_tier { SERVICE_DEFAULT, SERVICE_FLEX, SERVICE_PRIORITY, SERVICE_TIERS };

enum engine_end { END_STOP, END_LENGTH, END_CANCELLED, END_ERROR };

struct usage { /* what metering needs */
    int32_t prompt_tokens, cached_tokens, output_tokens;
    int32_t preemptions;
    double queue_ms, prefill_ms, decode_ms; /* until first scheduled, until first token, after it */
    double sum_logprob;                     /* over the output tokens */
};

struct engine_request {
    const int32_t *prompt;   /* copied; ids must be below the vocabulary */
    int32_t n_prompt;        /* at least 1 */
    int32_t max_tokens;      /* at least 1; cut to what the context leaves */
    struct sampling sampling;
    int32_t choice;          /* enters the random counter, so that n choices of one seed differ */
    const char *tenant;      /* fairness key and prefix-cache salt; copied; NULL = "" */
    enum service_tier tier;
    struct adapter *adapter; /* reference taken over on success; NULL = base model */
    /* Both are called on the engine's thread, must not block, and may not call the engine except engine_cancel.
     * on_token: false ends the sequence with END_STOP; the token counts as output. on_end: always the last call,
     * exactly once per successful submit; `why` is set for END_ERROR. */
    bool (*on_token)(void *user, const struct step_result *token);
    void (*on_end)(void *user, enum engine_end end, const struct usage *usage, const struct err *why);
    void *user;
};

struct memory_plan { /* bytes of the device's memory, in the order in which they are taken */
    size_t total_bytes, free_bytes; /* before anything was */
    size_t weights_bytes;
    size_t work_bytes;              /* activations, workspaces, the step */
    size_t driver_bytes;            /* GPU: context, modules, graphs */
    size_t reserve_bytes;           /* GPU: left free */
    size_t pool_bytes, page_bytes;
    int32_t n_pages;
    int32_t adapter_pages;          /* pages of an adapter of rank 16 on every linear layer */
};

/* What we asked the device for. */
static inline size_t memory_plan_taken(const struct memory_plan *p)
{
    return p->weights_bytes + p->work_bytes + p->pool_bytes;
}

int engine_open(const struct engine_config *, struct engine **out, struct err *e) __attribute__((warn_unused_result));
/* What opening would take: loads the model, tells, and lets go. */
int engine_plan(const struct engine_config *, struct memory_plan *out, struct err *e)
    __attribute__((warn_unused_result));
/* As one line for people, up to `bytes` of it. device: its name. */
void memory_plan_text(const struct memory_plan *, const char *device, char *out, size_t bytes);
void engine_close(struct engine *); /* cancels what still runs, joins the thread */

/* OL_EBUSY when the queue is full (for SERVICE_FLEX: half of it), OL_EINVAL/OL_ELIMIT for requests that can never run. */
int engine_submit(struct engine *, const struct engine_request *, uint64_t *id, struct err *e);
/* Ends within one step with END_CANCELLED; unknown or finished ids are ignored. */
void engine_cancel(struct engine *, uint64_t id);
void engine_stop_admission(struct engine *); /* drain: submit answers OL_EBUSY, running and queued work finishes */
bool engine_idle(struct engine *);

const struct model_config *engine_model(const struct engine *);
const char *engine_version(const struct engine *);     /* base version hash */
const struct model_file *engine_model_file(const struct engine *);
struct adapter_store *engine_adapters(struct engine *);
int32_t engine_max_context(const struct engine *);

enum { ENGINE_BUCKETS = 20 };
/* Upper bounds of all buckets but the last, which has none: seconds for times, counts for lengths and rows. */
extern const double engine_time_bounds_s[ENGINE_BUCKETS - 1], engine_token_bounds[ENGINE_BUCKETS - 1];
struct engine_histogram { /* count per bucket: cumulative is made by the exporter */
    uint64_t count[ENGINE_BUCKETS];
    uint64_t total;
    double sum;
};

struct engine_stats {
    struct device_info device;
    struct memory_plan memory;
    int32_t running, waiting, waiting_adapter;
    int32_t running_tier[SERVICE_TIERS], waiting_tier[SERVICE_TIERS]; /* without what was submitted this moment */
    int32_t pages_total, pages_kv, pages_adapter, pages_cached; /* cached: prefix cache only, free to take */
    uint64_t prompt_tokens, cached_tokens, output_tokens, prefix_queries, prefix_hits; /* queries, hits in tokens */
    uint64_t preemptions, steps, lora_ops, adapter_loads, adapter_evictions;
    uint64_t ended[4]; /* by enum engine_end */
    uint64_t rejected; /* queue full */
    struct engine_histogram ttft_s, inter_token_s, e2e_s, queue_s, prefill_s, decode_s;
    struct engine_histogram prompt_len, output_len, step_rows; /* tokens, tokens, rows */
    uint64_t restarts; /* of the worker, after it was lost */
    bool restarting;   /* it is lost, and being started again */
    bool failed;       /* device lost: every submit fails */
};
void engine_stats(struct engine *, struct engine_stats *out); /* the device's texts live as long as the engine */

#endif
