#include "training/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MODULE "train"

enum { REAL_BYTES = 32, REAL_DIGITS = 17 };

static int wrong(struct err *e, const char *what) { return err_set(e, OL_EINVAL, MODULE, "%s", what); }

int train_settings_check(const struct train_settings *s, struct err *e)
{
    if (!s->targets)
        return wrong(e, "no target is named: nothing to train");
    if (s->rank < 1 || s->rank > LORA_MAX_RANK)
        return err_set(e, OL_EINVAL, MODULE, "the rank must be 1 to %d", LORA_MAX_RANK);
    if (!(s->alpha > 0) || !isfinite(s->alpha))
        return wrong(e, "alpha must be positive");
    if (!(s->dropout >= 0 && s->dropout < 1))
        return wrong(e, "dropout must be at least 0 and less than 1");
    if (s->data.max_tokens < 2)
        return wrong(e, "an example must be allowed 2 tokens at least");
    if (s->batch < 1 || s->accumulate < 1 || (int64_t)s->batch * s->accumulate > MAX_BATCH)
        return err_set(e, OL_EINVAL, MODULE, "batch times accumulate must be 1 to %d", MAX_BATCH);
    if (!(s->eval_fraction >= 0 && s->eval_fraction < 1))
        return wrong(e, "the fraction held out must be at least 0 and less than 1");
    if (!(s->rate > 0) || !isfinite(s->rate) || !(s->clip >= 0) || !isfinite(s->clip))
        return wrong(e, "the learning rate must be positive, the greatest gradient norm at least 0");
    if (!(s->adamw.beta1 >= 0 && s->adamw.beta1 < 1 && s->adamw.beta2 >= 0 && s->adamw.beta2 < 1))
        return wrong(e, "the betas must be at least 0 and less than 1");
    if (!(s->adamw.epsilon > 0) || !(s->adamw.weight_decay >= 0) || !isfinite(s->adamw.weight_decay))
        return wrong(e, "epsilon must be positive and weight decay at least 0");
    if (s->warmup < 0 || s->steps < 0 || s->epochs < 1 || s->epochs > MAX_EPOCHS)
        return err_set(e, OL_EINVAL, MODULE, "epochs must be 1 to %d, warm-up and steps at least 0", MAX_EPOCHS);
    return 0;
}

json_t *train_real_json(double value)
{
    char text[REAL_BYTES];
    for (int digits = 1; digits <= REAL_DIGITS; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return json_string(text);
}

json_t *train_targets_json(uint32_t targets)
{
    static const char *const names[LORA_TARGETS] = {
        [LORA_Q] = "q_proj", [LORA_K] = "k_proj", [LORA_V] = "v_proj", [LORA_O] = "o_proj",
        [LORA_GATE] = "gate_proj", [LORA_UP] = "up_proj", [LORA_DOWN] = "down_proj",
    };
    json_t *list = json_array();
    for (int i = 0; i < LORA_TARGETS; i++)
        if (targets >> i & 1)
            json_array_append_new(list, json_string(names[i]));
    return list;
}

json_t *train_settings_json(const struct train_settings *s)
{
    const struct {
        const char *name;
        json_t *value; /* taken over */
    } fields[] = {
        {"targets", train_targets_json(s->targets)},
        {"rank", json_integer(s->rank)},
        {"alpha", train_real_json(s->alpha)},
        {"rslora", json_boolean(s->rslora)},
        {"dropout", train_real_json(s->dropout)},
        {"max_tokens", json_integer(s->data.max_tokens)},
        {"too_long", json_string(too_long_name(s->data.too_long))},
        {"batch", json_integer(s->batch)},
        {"accumulate", json_integer(s->accumulate)},
        {"eval_fraction", train_real_json(s->eval_fraction)},
        {"optimizer", json_string("adamw")},
        {"beta1", train_real_json(s->adamw.beta1)},
        {"beta2", train_real_json(s->adamw.beta2)},
        {"epsilon", train_real_json(s->adamw.epsilon)},
        {"weight_decay", train_real_json(s->adamw.weight_decay)},
        {"schedule", json_string(schedule_name(s->schedule))},
        {"rate", train_real_json(s->rate)},
        {"clip", train_real_json(s->clip)},
        {"warmup", json_integer(s->warmup)},
        {"epochs", json_integer(s->epochs)},
        {"steps", json_integer(s->steps)},
        {"seed", json_integer((json_int_t)s->seed)},
    };
    json_t *object = json_object();
    bool ok = object != NULL;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        ok = json_object_set_new(object, fields[i].name, fields[i].value) == 0 && ok;
    if (ok)
        return object;
    json_decref(object);
    return NULL;
}
