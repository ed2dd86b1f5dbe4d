#include "training/plan.h"

#include "training/random.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "train"

void train_plan_deinit(struct train_plan *p)
{
    free(p->train);
    free(p->held_out);
    free(p->order);
    *p = (struct train_plan){0};
}

/* Marks a drawn part of the examples, then lists both parts in their old order. */
static int hold_out(struct train_plan *p, uint32_t n, uint32_t held, struct err *e)
{
    bool *out = calloc(n, sizeof *out);
    p->train = calloc(n, sizeof *p->train);
    p->held_out = calloc(n, sizeof *p->held_out);
    p->order = calloc(n, sizeof *p->order);
    if (!out || !p->train || !p->held_out || !p->order) {
        free(out);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the order of %u examples", n);
    }
    struct random r = random_start(p->seed, RANDOM_SPLIT, 0);
    random_order(&r, p->order, n);
    for (uint32_t i = 0; i < held; i++)
        out[p->order[i]] = true;
    for (uint32_t i = 0; i < n; i++) {
        if (out[i])
            p->held_out[p->n_held_out++] = i;
        else
            p->train[p->n_train++] = i;
    }
    free(out);
    return 0;
}

int train_plan_init(const struct train_settings *s, uint32_t n, struct train_plan *p, struct err *e)
{
    *p = (struct train_plan){.epoch = -1, .seed = s->seed, .per_step = (uint32_t)(s->batch * s->accumulate)};
    uint32_t held = (uint32_t)(s->eval_fraction * n + 0.5);
    if (s->eval_fraction > 0 && held == 0)
        held = 1;
    if (held >= n)
        return err_set(e, OL_EINVAL, MODULE, "%u of %u examples held out leave none to train on", held, n);
    int rc = hold_out(p, n, held, e);
    if (rc) {
        train_plan_deinit(p);
        return rc;
    }
    p->steps_per_epoch = ((int64_t)p->n_train + p->per_step - 1) / p->per_step;
    p->steps = s->steps ? s->steps : s->epochs * p->steps_per_epoch;
    p->epochs = (p->steps + p->steps_per_epoch - 1) / p->steps_per_epoch;
    if (p->epochs <= MAX_EPOCHS)
        return 0;
    train_plan_deinit(p);
    return err_set(e, OL_EINVAL, MODULE, "%lld steps would be more than %d epochs", (long long)s->steps, MAX_EPOCHS);
}

uint32_t train_plan_step(struct train_plan *p, int64_t step, uint32_t *first)
{
    int64_t epoch = step / p->steps_per_epoch;
    if (epoch != p->epoch) {
        struct random r = random_start(p->seed, RANDOM_ORDER, (uint64_t)epoch);
        random_order(&r, p->order, p->n_train);
        p->epoch = epoch;
    }
    *first = (uint32_t)(step % p->steps_per_epoch) * p->per_step;
    return p->n_train - *first < p->per_step ? p->n_train - *first : p->per_step;
}

uint32_t train_plan_example(const struct train_plan *p, uint32_t place, uint64_t *dropout_seed)
{
    struct random r = random_start(p->seed, RANDOM_DROPOUT, (uint64_t)p->epoch * p->n_train + place);
    *dropout_seed = random_next(&r);
    return p->train[p->order[place]];
}
