/* The gradient of an answer; see gradient.h. */
#include "attribution/gradient_internal.h"
#include "attribution/span_echo.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "gradient"

int64_t gradient_open(const int32_t *prompt, size_t n_prompt, const int32_t *choice, size_t n, bool *open,
                      struct err *e)
{
    uint32_t *places = malloc((n_prompt + 1) * sizeof *places);
    bool *echo = calloc(n + 1, sizeof *echo);
    int64_t left = 0;
    if (!places || !echo) {
        left = err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", n_prompt + n);
    } else {
        span_echo_mark(prompt, places, span_echo_sort(prompt, n_prompt, places), choice, n, echo);
        for (size_t i = 0; i < n; i++) {
            open[i] = open[i] && !echo[i];
            left += open[i];
        }
    }
    free(places);
    free(echo);
    return left;
}

/* Prompt and answer as one example; false without an open token. */
static bool fill_choice(const struct gradient_choice *c, uint32_t *tokens, float *weights, struct train_example *out)
{
    bool any = false;
    memcpy(tokens, c->prompt, c->n_prompt * sizeof *tokens);
    memcpy(tokens + c->n_prompt, c->answer, c->n * sizeof *tokens);
    for (size_t i = 0; i < c->n_prompt + c->n; i++) {
        weights[i] = i > 0 && i >= c->n_prompt && c->open[i - c->n_prompt] ? 1 : 0;
        any = any || weights[i] != 0;
    }
    *out = (struct train_example){.tokens = tokens, .weight = weights, .n = (int32_t)(c->n_prompt + c->n)};
    return any;
}

static int add_choice(struct lora_model *model, const struct gradient_choice *c, float *gradient, struct err *e)
{
    size_t n = c->n_prompt + c->n;
    uint32_t *tokens = malloc((n ? n : 1) * sizeof *tokens);
    float *weights = malloc((n ? n : 1) * sizeof *weights);
    struct train_example example;
    struct train_loss loss;
    int rc = OL_OK;
    if (n > INT32_MAX)
        rc = err_set(e, OL_ELIMIT, MODULE, "an answer of %zu tokens is too long", n);
    else if (!tokens || !weights)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", n);
    else if (fill_choice(c, tokens, weights, &example))
        rc = lora_model_gradient(model, &example, gradient, &loss, e);
    free(tokens);
    free(weights);
    return rc;
}

int gradient_query(struct lora_model *model, const struct sketch *s, const struct gradient_choice *choices,
                   size_t n_choices, int16_t *query, struct err *e)
{
    const struct lora_layout *layout = lora_model_layout(model);
    float *gradient = calloc((size_t)layout->n_params + 1, sizeof *gradient);
    double *v = calloc(s->dimensions, sizeof *v);
    float *whole = NULL;
    int rc = gradient && v ? gradient_sketch_check(s, layout, e) : err_set(e, OL_ENOMEM, MODULE, "no memory");
    if (!rc)
        rc = gradient_halve(model, &whole, e);
    for (size_t i = 0; i < n_choices && !rc; i++)
        rc = add_choice(model, &choices[i], gradient, e);
    if (!rc) { /* the mean's divisor falls out of the norm */
        gradient_sketch(s, layout, gradient, v);
        rc = query_quantize(v, s->dimensions, query, e);
    }
    gradient_restore(model, whole);
    free(gradient);
    free(v);
    return rc;
}
