/* Inside the engine. engine_open.c sets it up, engine_submit.c is its door, engine_loop.c its thread,
 * engine_adapters.c keeps host images and pages of adapters in step, engine_recover.c goes on after a backend was lost,
 * engine_stats.c counts.
 *
 * Threads: `mutex` guards what clients and the engine's thread share. The live list is written by the engine's
 * thread alone, holding the mutex: it reads the list freely, others read it with the mutex held. No lock is held
 * while callbacks run. Lock order: adapter store, then engine. */
#ifndef OPENLORA_ENGINE_ENGINE_INTERNAL_H
#define OPENLORA_ENGINE_ENGINE_INTERNAL_H

#include "engine/adapter_store_internal.h"
#include "engine/engine.h"
#include "engine/scheduler.h"

#include <pthread.h>

/* What computes steps: the forward pass on a device, here or in a worker process, or a test's own. Called by the
 * engine's thread only. When run or upload fails, the backend is lost with all that its pages held. */
struct engine_backend {
    void *ctx;
    struct step *(*step)(void *ctx); /* the step to fill, with the limits of engine_step_limits */
    int (*run)(void *ctx, struct step_result *results, struct err *e);
    int (*upload)(void *ctx, int32_t page, const void *data, size_t bytes, struct err *e);
    uint64_t (*lora_ops)(void *ctx);
    void (*info)(void *ctx, struct device_info *out);
    /* Both NULL: what is lost stays lost. check: whether it is still there, asked while there is nothing to compute.
     * restart: 0 when it computes again, with nothing in its pages; OL_EBUSY: not yet, call again soon; else this
     * attempt failed. */
    int (*check)(void *ctx, struct err *e);
    int (*restart)(void *ctx, struct err *e);
    void (*close)(void *ctx);
};

struct recovery { /* of a lost backend: see engine_recover.c */
    int in_a_row;       /* losses and failed attempts without a quiet time between */
    int failed_attempts; /* since the loss */
    double works_since_s, next_s; /* when to look again */
};

struct engine {
    struct engine_config config; /* defaults filled in; pointers not kept */
    struct engine_backend backend;
    const struct model_config *model;
    struct model_file *file;     /* owned; NULL in tests */
    char version[65];
    size_t page_bytes;
    struct adapter_store *adapters;

    /* Shared. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct sequence *inbox_head, *inbox_tail; /* submitted, not yet seen by the engine's thread */
    struct sequence *live;                    /* seen, not yet ended */
    int32_t n_live;                           /* both, and those being submitted */
    uint64_t last_id, rejected;
    bool event;                               /* something happened since the engine's thread last looked */
    bool cancel_pending, draining, closing;
    bool failed;                              /* lost for good */
    bool restarting, refusing;                /* lost; and nobody is asked to wait for it any more */
    struct err lost_why;
    struct engine_stats published;

    /* The engine's thread. */
    struct scheduler sched;
    struct step_result *results;              /* (max_seqs) */
    struct engine_stats stats;
    struct recovery recovery;
    uint64_t adapter_events;                  /* of the store, as last looked at */
    pthread_t thread;
    bool thread_running;
};

/* Fills in defaults that do not depend on the machine and refuses values out of range. */
int engine_config_resolve(struct engine_config *, const struct model_config *, struct err *e);
struct step_limits engine_step_limits(const struct engine_config *, int32_t n_pages);

/* Starts an engine on a backend, which it closes on engine_close (not when this fails). config: resolved. reader:
 * NULL for adapter files. */
int engine_start(const struct engine_config *, const struct engine_backend *, const struct model_config *,
                 const char *version, const struct memory_plan *, const struct adapter_reader *reader,
                 struct engine **out, struct err *e) __attribute__((warn_unused_result));

void *engine_main(void *engine); /* the thread */
void engine_end(struct engine *, struct sequence *, enum engine_end, const struct err *why);

void engine_end_all(struct engine *, enum engine_end, const struct err *why); /* those that wait in the inbox, too */

/* engine_recover.c, on the engine's thread */
void engine_lose(struct engine *, const struct plan *failed, const struct err *why); /* failed: the step's, or NULL */
void engine_recover(struct engine *);     /* while restarting: the next look at it */
void engine_check(struct engine *);       /* while idle: notices a loss */
double engine_next_look_s(struct engine *, double now_s); /* when to call one of them if nothing happens; 0: never */

void step_fill(struct step *, const struct plan *);

/* engine_adapters.c, on the engine's thread */
void engine_sync_adapters(struct engine *);    /* after anything that changed who needs which image */
void engine_refresh_adapters(struct engine *); /* when the store reports events */
/* Ends a sequence whose adapter failed, was unloaded by force or does not fit; cuts it to what does. */
void engine_settle(struct engine *, struct sequence *);
int engine_upload_adapters(struct engine *, const struct plan *, struct err *e);

/* engine_stats.c, on the engine's thread */
void engine_observe_step(struct engine *, const struct plan *, double step_s);
void engine_observe_token(struct engine *, struct sequence *, const struct step_result *, double now_s);
void engine_observe_end(struct engine *, struct sequence *, enum engine_end, double now_s);
void engine_publish_stats(struct engine *);

#endif
