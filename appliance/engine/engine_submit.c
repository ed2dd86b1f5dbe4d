/* The engine's door: what clients call from any thread. */
#include "engine/engine_internal.h"

#include "base/clock.h"

static void signal_event(struct engine *e) /* the mutex is held */
{
    e->event = true;
    pthread_cond_signal(&e->wake);
}

/* Takes one of the max_seqs + max_queue places before anything is allocated: refusing is cheap. Flex leaves half of the
 * queue to those who do not want to wait. */
static int take_place(struct engine *e, enum service_tier tier, struct err *err)
{
    const struct scheduler_config *c = &e->sched.config;
    int32_t most = tier == SERVICE_FLEX ? c->max_seqs + (c->max_live - c->max_seqs) / 2 : c->max_live;
    int rc = 0;
    pthread_mutex_lock(&e->mutex);
    if (e->failed) {
        rc = err_set(err, OL_EDEVICE, "engine", "the compute device is lost; restart the server");
    } else if (e->refusing) {
        rc = err_set(err, OL_EDEVICE, "engine", "the engine is being restarted, try again later: %.160s",
                     e->lost_why.message);
    } else if (e->draining || e->closing) {
        rc = err_set(err, OL_EBUSY, "engine", "the server is shutting down");
    } else if (e->n_live >= most) {
        e->rejected++;
        rc = err_set(err, OL_EBUSY, "engine", "%d requests are running or waiting already; try again later",
                     (int)e->n_live);
    } else {
        e->n_live++;
    }
    pthread_mutex_unlock(&e->mutex);
    return rc;
}

static int give_place_back(struct engine *e, int rc)
{
    pthread_mutex_lock(&e->mutex);
    e->n_live--;
    pthread_mutex_unlock(&e->mutex);
    return rc;
}

static int check_limits(const struct engine *e, const struct engine_request *r, int32_t *max_total, struct err *err)
{
    int32_t most = scheduler_max_total(&e->sched.config, 0);
    if (r->adapter && e->config.no_lora)
        return err_set(err, OL_EUNSUPPORTED, "engine", "adapters are disabled on this server");
    if (r->n_prompt >= most) {
        bool context = most == e->config.max_context;
        return err_set(err, OL_ELIMIT, "engine", "the prompt has %d tokens; %s of %d tokens leaves room for no answer",
                       (int)r->n_prompt, context ? "the context" : "the page pool", (int)most);
    }
    *max_total = r->max_tokens < most - r->n_prompt ? r->n_prompt + r->max_tokens : most;
    return 0;
}

int engine_submit(struct engine *e, const struct engine_request *r, uint64_t *id, struct err *err)
{
    CHECK(r->on_token && r->on_end);
    int32_t max_total = 0;
    struct sequence *q;
    int rc = check_limits(e, r, &max_total, err);
    if (!rc)
        rc = take_place(e, r->tier, err);
    if (rc)
        return rc;
    rc = sequence_create(r, e->model->vocab, max_total, &q, err);
    if (rc)
        return give_place_back(e, rc);
    if (q->adapter)
        q->residency = &q->adapter->residency;
    q->submitted_s = clock_mono_s();

    pthread_mutex_lock(&e->mutex);
    if (e->failed || e->closing) { /* since the place was taken */
        e->n_live--;
        pthread_mutex_unlock(&e->mutex);
        sequence_free(q);
        return err_set(err, e->failed ? OL_EDEVICE : OL_EBUSY, "engine", "the engine stopped");
    }
    q->id = ++e->last_id;
    if (id)
        *id = q->id; /* before the first callback can come */
    *(e->inbox_tail ? &e->inbox_tail->next_live : &e->inbox_head) = q;
    e->inbox_tail = q;
    signal_event(e);
    pthread_mutex_unlock(&e->mutex);
    return 0;
}

static bool mark_cancelled(struct sequence *list, uint64_t id)
{
    for (struct sequence *q = list; q; q = q->next_live)
        if (q->id == id) {
            atomic_store(&q->cancelled, true);
            return true;
        }
    return false;
}

void engine_cancel(struct engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->mutex);
    if (mark_cancelled(e->live, id) || mark_cancelled(e->inbox_head, id)) {
        e->cancel_pending = true;
        signal_event(e);
    }
    pthread_mutex_unlock(&e->mutex);
}

void engine_stop_admission(struct engine *e)
{
    pthread_mutex_lock(&e->mutex);
    e->draining = true;
    pthread_mutex_unlock(&e->mutex);
}

bool engine_idle(struct engine *e)
{
    pthread_mutex_lock(&e->mutex);
    bool idle = !e->live && !e->inbox_head && e->n_live == 0;
    pthread_mutex_unlock(&e->mutex);
    return idle;
}

const struct model_config *engine_model(const struct engine *e) { return e->model; }
const char *engine_version(const struct engine *e) { return e->version; }
const struct model_file *engine_model_file(const struct engine *e) { return e->file; }
struct adapter_store *engine_adapters(struct engine *e) { return e->adapters; }
int32_t engine_max_context(const struct engine *e) { return e->config.max_context; }
