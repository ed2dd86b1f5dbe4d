#include "training/trainer_internal.h"

#include "base/clock.h"
#include "training/adapter_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "train"

enum { EVALUATED_TOGETHER = 64 };

/* ---- opening */

static int allocate(struct trainer *t, struct err *e)
{
    size_t n = (size_t)t->n, batch = (size_t)t->config.settings->batch;
    size_t together = batch > EVALUATED_TOGETHER ? batch : EVALUATED_TOGETHER;
    t->gradient = calloc(n, sizeof *t->gradient);
    t->moment1 = calloc(n, sizeof *t->moment1);
    t->moment2 = calloc(n, sizeof *t->moment2);
    t->examples = calloc(together, sizeof *t->examples);
    t->losses = calloc(together, sizeof *t->losses);
    t->epochs = calloc((size_t)t->plan.epochs, sizeof *t->epochs);
    return t->gradient && t->moment1 && t->moment2 && t->examples && t->losses && t->epochs
               ? 0
               : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu parameters", n);
}

/* An adapter to go on from must be of the shape that the settings describe: its record says what they are. */
static int start_from(struct trainer *t, const char *path, struct err *e)
{
    const struct lora_layout *layout = lora_model_layout(t->model);
    int64_t n = layout->n_params;
    int32_t places = layout->n_places;
    float scale = layout->places[0].scale;
    int rc = lora_model_load_adapter(t->model, path, e);
    if (rc)
        return rc;
    layout = lora_model_layout(t->model);
    if (layout->n_params != n || layout->n_places != places || layout->places[0].rank != t->config.settings->rank)
        return err_set(e, OL_EINVAL, MODULE, "%s has other targets or another rank (its first: %d) than this training",
                       path, layout->places[0].rank);
    for (int32_t i = 0; i < layout->n_places; i++)
        if (layout->places[i].scale != scale)
            return err_set(e, OL_EINVAL, MODULE, "%s has another alpha: a scale of %g, not %g", path,
                           (double)layout->places[i].scale, (double)scale);
    return 0;
}

static int open_model(struct trainer *t, struct err *e)
{
    const struct train_settings *s = t->config.settings;
    const struct train_config config = {
        .threads = t->config.threads, .targets = s->targets, .rank = s->rank, .alpha = (float)s->alpha,
        .rslora = s->rslora, .dropout = (float)s->dropout,
        .max_rows = s->data.max_tokens > LORA_DEFAULT_ROWS ? s->data.max_tokens : LORA_DEFAULT_ROWS};
    int rc = lora_model_open(t->config.file, &config, &t->model, e);
    if (rc)
        return rc;
    if (t->config.start)
        rc = start_from(t, t->config.start, e);
    else
        adapter_initialise(lora_model_layout(t->model), s->seed, lora_model_params(t->model));
    t->n = lora_model_layout(t->model)->n_params;
    return rc;
}

int trainer_open(const struct trainer_config *config, struct trainer **out, struct err *e)
{
    const struct train_settings *s = config->settings;
    struct trainer *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return err_set(e, OL_ENOMEM, MODULE, "no memory");
    t->config = *config;
    t->before = (struct trainer_epoch){NAN, NAN};
    t->started = clock_unix_ms() / 1000;
    int rc = train_plan_init(s, config->data->n, &t->plan, e);
    if (!rc)
        rc = open_model(t, e);
    if (!rc)
        rc = allocate(t, e);
    if (rc) {
        trainer_close(t);
        return rc;
    }
    int64_t warmup = s->warmup < t->plan.steps ? s->warmup : t->plan.steps;
    t->schedule = (struct schedule){s->schedule, s->rate, warmup, t->plan.steps};
    *out = t;
    return 0;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    lora_model_close(t->model);
    train_plan_deinit(&t->plan);
    free(t->gradient);
    free(t->moment1);
    free(t->moment2);
    free(t->examples);
    free(t->losses);
    free(t->epochs);
    free(t);
}

int trainer_resume(struct trainer *t, struct err *e) { return trainer_restore(t, e); }
int64_t trainer_done_steps(const struct trainer *t) { return t->step; }
const struct train_plan *trainer_plan(const struct trainer *t) { return &t->plan; }
const float *trainer_params(const struct trainer *t) { return lora_model_params(t->model); }
const struct lora_layout *trainer_layout(const struct trainer *t) { return lora_model_layout(t->model); }

struct trainer_result trainer_result(const struct trainer *t)
{
    return (struct trainer_result){.started = t->started, .resumed = t->resumed, .seconds = t->seconds,
                                   .steps = t->step, .epochs = t->plan.epochs, .before = &t->before,
                                   .epochs_done = t->epochs, .trained = t->plan.n_train,
                                   .held_out = t->plan.n_held_out};
}

/* ---- evaluating */

/* What is held out, or the set of its own. */
static uint32_t n_evaluated(const struct trainer *t)
{
    return t->config.evaluation ? t->config.evaluation->n : t->plan.n_held_out;
}

static struct train_example evaluated(const struct trainer *t, uint32_t i)
{
    return t->config.evaluation ? dataset_example(t->config.evaluation, i)
                                : dataset_example(t->config.data, t->plan.held_out[i]);
}

/* Mean loss per learnt token. */
static int evaluate(struct trainer *t, double *mean, struct err *e)
{
    uint32_t n = n_evaluated(t);
    double loss = 0, weight = 0;
    for (uint32_t at = 0; at < n; at += EVALUATED_TOGETHER) {
        uint32_t k = n - at < EVALUATED_TOGETHER ? n - at : EVALUATED_TOGETHER;
        for (uint32_t i = 0; i < k; i++)
            t->examples[i] = evaluated(t, at + i);
        int rc = lora_model_loss_batch(t->model, t->examples, (int32_t)k, t->losses, e);
        if (rc)
            return rc;
        for (uint32_t i = 0; i < k; i++) {
            loss += t->losses[i].loss;
            weight += t->losses[i].weight_sum;
        }
    }
    *mean = loss / weight;
    return 0;
}

/* ---- stepping */

/* The gradient of the summed loss of examples [place, place + n) of the epoch is added to t->gradient. */
static int add_gradients(struct trainer *t, uint32_t place, uint32_t n, struct trainer_step *report, double *loss,
                         struct err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t masks;
        uint32_t example = train_plan_example(&t->plan, place + i, &masks);
        t->examples[i] = dataset_example(t->config.data, example);
        t->examples[i].dropout_seed = masks;
        report->tokens += t->examples[i].n;
        report->learnt += t->config.data->examples[example].taught;
    }
    int rc = lora_model_gradient_batch(t->model, t->examples, (int32_t)n, t->gradient, 0, t->losses, e);
    for (uint32_t i = 0; i < n && !rc; i++)
        *loss += t->losses[i].loss;
    return rc;
}

static int update(struct trainer *t, struct trainer_step *report, double loss, struct err *e)
{
    const struct train_settings *s = t->config.settings;
    double mean = 1 / (double)report->learnt;
    report->loss = loss * mean;
    report->norm = gradient_norm(t->gradient, t->n) * mean;
    report->rate = schedule_rate(&t->schedule, t->step);
    if (!isfinite(report->loss) || !isfinite(report->norm))
        return err_set(e, OL_EINVAL, MODULE,
                       "loss %g and gradient norm %g at step %lld: a lower learning rate or a longer "
                       "warm-up may help", report->loss, report->norm, (long long)t->step + 1);
    float scale = (float)(mean * clip_scale(report->norm, s->clip));
    adamw_step(&s->adamw, report->rate, t->step + 1, t->gradient, scale, lora_model_params(t->model), t->moment1,
               t->moment2, t->n);
    return 0;
}

static int take_step(struct trainer *t, struct err *e)
{
    struct trainer_step report = {.step = t->step + 1, .steps = t->plan.steps, .epochs = t->plan.epochs};
    uint32_t first, n = train_plan_step(&t->plan, t->step, &first), batch = (uint32_t)t->config.settings->batch;
    double begin = clock_mono_s(), loss = 0;
    report.epoch = t->plan.epoch + 1;
    report.examples = n;
    memset(t->gradient, 0, (size_t)t->n * sizeof *t->gradient);
    int rc = 0;
    for (uint32_t at = 0; at < n && !rc; at += batch)
        rc = add_gradients(t, first + at, n - at < batch ? n - at : batch, &report, &loss, e);
    if (!rc)
        rc = update(t, &report, loss, e);
    if (rc)
        return rc;
    t->step++;
    t->epoch_loss += loss;
    t->epoch_weight += (double)report.learnt;
    report.seconds = clock_mono_s() - begin;
    t->seconds += report.seconds;
    if (t->config.events.step)
        t->config.events.step(t->config.events.user, &report);
    return 0;
}

/* epoch: from 0, or −1 before the first step. */
static int end_epoch(struct trainer *t, int64_t epoch, struct err *e)
{
    struct trainer_epoch *to = epoch < 0 ? &t->before : &t->epochs[epoch];
    double begin = clock_mono_s();
    *to = (struct trainer_epoch){epoch < 0 ? NAN : t->epoch_loss / t->epoch_weight, NAN};
    int rc = n_evaluated(t) ? evaluate(t, &to->evaluation, e) : 0;
    t->epoch_loss = t->epoch_weight = 0;
    t->seconds += clock_mono_s() - begin;
    if (!rc && t->config.events.epoch)
        t->config.events.epoch(t->config.events.user, epoch + 1, to);
    return rc;
}

int trainer_run(struct trainer *t, const volatile sig_atomic_t *stop, struct err *e)
{
    int rc = t->step == 0 && n_evaluated(t) ? end_epoch(t, -1, e) : 0;
    while (!rc && t->step < t->plan.steps) {
        rc = take_step(t, e);
        bool last = t->step == t->plan.steps, whole = t->step % t->plan.steps_per_epoch == 0;
        if (!rc && (whole || last))
            rc = end_epoch(t, (t->step - 1) / t->plan.steps_per_epoch, e);
        bool due = t->config.checkpoint_every && t->step % t->config.checkpoint_every == 0;
        bool stopped = *stop && !last;
        if (!rc && (due || last || stopped))
            rc = trainer_save(t, e);
        if (!rc && stopped)
            rc = err_set(e, OL_ECANCELLED, MODULE, "stopped after step %lld of %lld", (long long)t->step,
                         (long long)t->plan.steps);
    }
    return rc;
}
