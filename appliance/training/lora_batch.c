/* What callers ask for: examples checked, packed side by side into passes of at most max_rows rows, in their order.
 * Only rows before an example's last weight are computed. */
#include "training/lora_internal.h"

#include <math.h>

/* Rows that the example needs: up to the last one whose prediction has a weight. 0: none has. */
static int32_t rows_of(const struct train_example *x)
{
    int32_t n = x->n - 1;
    while (n > 0 && x->weight[n] == 0)
        n--;
    return n;
}

static int check_tokens(const struct lora_model *m, const uint32_t *tokens, int32_t n, struct err *e)
{
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] >= (uint32_t)m->config.vocab)
            return err_set(e, OL_EINVAL, TRAINING, "token %u at %d is not in the vocabulary of %d", tokens[i], i,
                           m->config.vocab);
    return 0;
}

static int check_rows(const struct lora_model *m, int32_t rows, struct err *e)
{
    if (rows > m->config.context)
        return err_set(e, OL_ELIMIT, TRAINING, "%d tokens are more than the model's context of %d", rows,
                       m->config.context);
    if (rows > m->train.max_rows)
        return err_set(e, OL_ELIMIT, TRAINING, "%d tokens do not fit the %d rows computed together: allow more rows or "
                       "cut the text", rows, m->train.max_rows);
    return 0;
}

static int check_example(const struct lora_model *m, const struct train_example *x, bool gradient, struct err *e)
{
    if (x->n < 2)
        return err_set(e, OL_EINVAL, TRAINING, "%d tokens: a prediction needs two", x->n);
    if (x->weight[0] != 0)
        return err_set(e, OL_EINVAL, TRAINING, "the first token has a weight, but nothing predicts it");
    for (int32_t i = 1; i < x->n; i++)
        if (!isfinite(x->weight[i]))
            return err_set(e, OL_EINVAL, TRAINING, "the weight of token %d is not finite", i);
    if (gradient && !rows_of(x))
        return err_set(e, OL_EINVAL, TRAINING, "no token has a weight: there is nothing to learn");
    int rc = check_tokens(m, x->tokens, x->n, e);
    return rc ? rc : check_rows(m, rows_of(x), e);
}

static int check_all(const struct lora_model *m, const struct train_example *examples, int32_t n, bool gradient,
                     struct err *e)
{
    if (!m->params)
        return err_set(e, OL_EINVAL, TRAINING, "the model has no adapter: loading one failed before");
    if (gradient && !m->layout.n_places)
        return err_set(e, OL_EINVAL, TRAINING, "nothing is adapted: choose targets or load an adapter");
    for (int32_t i = 0; i < n; i++) {
        int rc = check_example(m, &examples[i], gradient, e);
        if (rc)
            return n > 1 ? err_prefix(e, "example %d", i) : rc;
    }
    return 0;
}

static void begin(struct lora_model *m, bool backward)
{
    m->pass.n_seq = m->pass.n_rows = m->pass.n_chosen = 0;
    m->pass.backward = backward;
}

static void add_sequence(struct pass *pass, const struct train_example *x, int32_t index, const uint32_t *tokens,
                         int32_t rows)
{
    for (int32_t i = 0; i < rows; i++) {
        int32_t row = pass->n_rows + i;
        pass->token[row] = (int32_t)tokens[i];
        pass->position[row] = i;
        pass->owner[row] = pass->n_seq;
        if (x && x->weight[i + 1] != 0)
            pass->chosen[pass->n_chosen++] = row;
    }
    pass->seq[pass->n_seq++] = (struct sequence){.example = x, .index = index,
                                                 .rows = {pass->n_rows, pass->n_rows + rows}};
    pass->n_rows += rows;
}

/* Passes over all examples; g NULL: losses alone. */
static void run_all(struct lora_model *m, const struct train_example *examples, int32_t n,
                    const struct lora_gradient *g, struct train_loss *losses)
{
    lora_pack_params(m);
    for (int32_t i = 0; i < n; i++)
        losses[i] = (struct train_loss){0};
    for (int32_t i = 0; i < n;) {
        begin(m, g);
        for (int32_t rows; i < n && m->pass.n_rows + (rows = rows_of(&examples[i])) <= m->train.max_rows; i++)
            if (rows)
                add_sequence(&m->pass, &examples[i], i, examples[i].tokens, rows);
        if (!m->pass.n_rows)
            continue;
        lora_forward(m);
        lora_head(m, losses);
        if (g)
            lora_backward(m, g);
    }
}

int lora_model_gradient_batch(struct lora_model *m, const struct train_example *examples, int32_t n, float *gradient,
                              int64_t stride, struct train_loss *losses, struct err *e)
{
    struct lora_gradient g = {.data = gradient, .stride = stride};
    int rc = check_all(m, examples, n, true, e);
    if (!rc)
        run_all(m, examples, n, &g, losses);
    return rc;
}

int lora_model_gradient(struct lora_model *m, const struct train_example *example, float *gradient,
                        struct train_loss *loss, struct err *e)
{
    return lora_model_gradient_batch(m, example, 1, gradient, 0, loss, e);
}

int lora_model_loss_batch(struct lora_model *m, const struct train_example *examples, int32_t n,
                          struct train_loss *losses, struct err *e)
{
    int rc = check_all(m, examples, n, false, e);
    if (!rc)
        run_all(m, examples, n, NULL, losses);
    return rc;
}

int lora_model_logits(struct lora_model *m, const uint32_t *tokens, int32_t n, const int32_t *rows, int32_t n_rows,
                      float *logits, struct err *e)
{
    int rc = check_all(m, NULL, 0, false, e);
    for (int32_t i = 0; !rc && i < n_rows; i++)
        if (rows[i] >= n || rows[i] < (i ? rows[i - 1] + 1 : 0))
            rc = err_set(e, OL_EINVAL, TRAINING, "position %d of %d tokens: positions must ascend", rows[i], n);
    if (!rc)
        rc = check_tokens(m, tokens, n, e);
    if (rc || !n_rows)
        return rc;
    int32_t needed = rows[n_rows - 1] + 1;
    rc = check_rows(m, needed, e);
    if (rc)
        return rc;
    lora_pack_params(m);
    begin(m, false);
    add_sequence(&m->pass, NULL, 0, tokens, needed);
    for (int32_t i = 0; i < n_rows; i++)
        m->pass.chosen[m->pass.n_chosen++] = rows[i];
    lora_forward(m);
    lora_head_logits(m, logits);
    return 0;
}
