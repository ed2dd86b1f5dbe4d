/* Doubles are written in hexadecimal (%a): they come back to the bit. */
#include "training/checkpoint.h"
#include "training/record.h"
#include "training/trainer_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "checkpoint"

static json_t *exact(double value)
{
    char text[40];
    snprintf(text, sizeof text, "%a", value);
    return json_string(text);
}

static struct checkpoint_vectors vectors(struct trainer *t)
{
    return (struct checkpoint_vectors){lora_model_params(t->model), t->moment1, t->moment2, t->n};
}

/* Those that ended; the last one may end early. */
static json_t *epochs_json(const struct trainer *t)
{
    json_t *list = json_array();
    int64_t ended = t->step == t->plan.steps ? t->plan.epochs : t->step / t->plan.steps_per_epoch;
    for (int64_t i = 0; i < ended; i++)
        json_array_append_new(list, json_pack("[oo]", exact(t->epochs[i].loss), exact(t->epochs[i].evaluation)));
    return list;
}

int trainer_save(struct trainer *t, struct err *e)
{
    const struct checkpoint_vectors v = vectors(t);
    json_t *state = json_pack("{si sO sI so so so so sI sI so}", "version", 1, "identity",
                              (json_t *)(uintptr_t)t->config.identity, "step", (json_int_t)t->step, "epoch_loss",
                              exact(t->epoch_loss), "epoch_weight", exact(t->epoch_weight), "before",
                              exact(t->before.evaluation), "epochs", epochs_json(t), "started", (json_int_t)t->started,
                              "resumed", (json_int_t)t->resumed, "seconds", exact(t->seconds));
    int rc = state ? checkpoint_write(t->config.checkpoint, &v, state, e)
                   : err_set(e, OL_ENOMEM, MODULE, "no memory for a checkpoint");
    json_decref(state);
    return rc;
}

static double real_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? strtod(text, NULL) : 0;
}

static void take_state(struct trainer *t, const json_t *state)
{
    const json_t *epochs = json_object_get(state, "epochs");
    t->step = json_integer_value(json_object_get(state, "step"));
    t->epoch_loss = real_of(json_object_get(state, "epoch_loss"));
    t->epoch_weight = real_of(json_object_get(state, "epoch_weight"));
    t->before.evaluation = real_of(json_object_get(state, "before"));
    for (size_t i = 0; i < json_array_size(epochs) && (int64_t)i < t->plan.epochs; i++) {
        const json_t *pair = json_array_get(epochs, i);
        t->epochs[i] = (struct trainer_epoch){real_of(json_array_get(pair, 0)), real_of(json_array_get(pair, 1))};
    }
    t->started = json_integer_value(json_object_get(state, "started"));
    t->resumed = json_integer_value(json_object_get(state, "resumed")) + 1;
    t->seconds = real_of(json_object_get(state, "seconds"));
}

int trainer_restore(struct trainer *t, struct err *e)
{
    const struct checkpoint_vectors v = vectors(t);
    json_t *state = NULL;
    /* The identity first: an adapter of another size is then told by the option that made it so. */
    int rc = checkpoint_read_state(t->config.checkpoint, &state, e);
    if (rc)
        return rc;
    rc = record_compare(json_object_get(state, "identity"), t->config.identity, e);
    json_decref(state);
    if (!rc)
        rc = checkpoint_read(t->config.checkpoint, &v, &state, e);
    if (rc)
        return rc;
    int64_t step = json_integer_value(json_object_get(state, "step"));
    if (step < 0 || step > t->plan.steps)
        rc = err_set(e, OL_EFORMAT, MODULE, "%s: step %lld of %lld", t->config.checkpoint, (long long)step,
                     (long long)t->plan.steps);
    else
        take_state(t, state);
    json_decref(state);
    return rc;
}
