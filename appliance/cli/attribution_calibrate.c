/* openlora attribution calibrate: from which worth on spans are paid, from which influence on gradients are, and how
 * often both pay for answers that owe nothing to the data (docs/attribution.md §7).
 *
 * Null answers are the base model's own, to prompts outside the data, scored with the adapter. The first of them give τ
 * and κ, others test both; the adapter's own answers to prompts that were not trained on give S₀. */
#include "attribution/calibration.h"
#include "attribution/policy.h"
#include "attribution/score.h"
#include "cli/attribution.h"
#include "cli/local_chat.h"
#include "cli/progress.h"
#include "cli/prompt_list.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "calibrate"

/* Of the tokens of null answers, at most so many may be paid by spans. */
enum { MAX_NULL_SPANS_PPM = 4000, MILLION = 1000000, SEQUENCES = 16 };

struct calibrate_args {
    const char *model, *adapter, *folder, *null_prompts, *prompts, *isa;
    int64_t nulls, fresh, tokens, max_tokens, threads;
    bool json;
};

struct session {
    const struct calibrate_args *args;
    struct prompt_list nulls, domain; /* nulls: those that calibrate, then those that test */
    size_t n_nulls;                   /* that calibrate */
    struct local_answer *null_answers, *domain_answers;
    struct span_index *index;
    struct surprisal surprisal;
    struct vectors vectors;
    bool has_vectors;
    struct model_file *file;
    struct lora_model *model;
    struct scorer scorer;
    struct score *scores; /* (nulls.n) of the null answers */
    struct calibration result;
};

/* ---- answers */

static void show_answers(void *user, size_t done, size_t total)
{
    progress_show(user, (int64_t)done, (int64_t)total, "answers");
}

static int answer(struct local_chat *chat, bool adapter, const struct prompt_list *prompts, int64_t max_tokens,
                  struct local_answer **out, struct err *e)
{
    *out = calloc(prompts->n + 1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", prompts->n);
    int rc = local_chat_answers(chat, adapter, (const char *const *)prompts->at, prompts->n, (int32_t)max_tokens, *out,
                                show_answers, adapter ? "the adapter answers" : "the base answers", e);
    progress_done();
    return rc;
}

/* The engine is closed again before the model is opened in float32: both do not have to fit. */
static int answer_all(struct session *x, struct err *e)
{
    const struct calibrate_args *a = x->args;
    const struct local_chat_config config = {a->model, a->adapter, "cpu", a->isa, (int)a->threads, SEQUENCES, false};
    struct local_chat chat;
    int rc = local_chat_open(&config, &chat, e);
    if (!rc)
        rc = answer(&chat, false, &x->nulls, a->tokens, &x->null_answers, e);
    if (!rc && x->has_vectors)
        rc = answer(&chat, true, &x->domain, a->tokens, &x->domain_answers, e);
    local_chat_close(&chat);
    return rc;
}

/* ---- opening */

static int open_folder(struct session *x, struct err *e)
{
    const char *folder = x->args->folder;
    char path[PATH_MAX];
    int rc = policy_path(folder, POLICY_INDEX_FILE, path, e);
    if (!rc)
        rc = span_index_open(path, NULL, &x->index, e);
    if (!rc)
        rc = policy_path(folder, POLICY_SURPRISAL_FILE, path, e);
    if (!rc)
        rc = surprisal_load(path, NULL, &x->surprisal, e);
    if (!rc)
        rc = policy_path(folder, POLICY_VECTORS_FILE, path, e);
    if (rc)
        return rc;
    rc = vectors_open(path, &x->vectors, e);
    x->has_vectors = !rc;
    if (!rc && !x->args->adapter)
        return err_set(e, OL_EINVAL, MODULE, "%s has vectors: name their --adapter", folder);
    return rc == OL_ENOTFOUND ? OL_OK : rc; /* a policy of spans alone */
}

static int open_prompts(struct session *x, struct err *e)
{
    const struct calibrate_args *a = x->args;
    int rc = prompt_list_load(a->null_prompts, (size_t)(a->nulls + a->fresh), &x->nulls, e);
    if (!rc && x->nulls.n < (size_t)a->nulls)
        rc = err_set(e, OL_EINVAL, MODULE, "%s has %zu prompts; --nulls asks for %lld", a->null_prompts, x->nulls.n,
                     (long long)a->nulls);
    x->n_nulls = (size_t)a->nulls;
    if (!rc && x->has_vectors)
        rc = a->prompts ? prompt_list_load(a->prompts, SIZE_MAX, &x->domain, e)
                        : err_set(e, OL_EINVAL, MODULE,
                                  "--prompts: name a file of prompts as users would send them to this "
                                  "adapter, none of which it was trained on");
    return rc;
}

static int open_model(struct session *x, struct err *e)
{
    const struct calibrate_args *a = x->args;
    int rc = x->has_vectors ? model_file_open(a->model, &x->file, e) : OL_OK;
    if (!rc && x->has_vectors)
        rc = attribution_model_open(x->file, a->adapter, (int)a->threads, (int32_t)a->max_tokens, &x->model, e);
    x->scorer = (struct scorer){.index = x->index, .surprisal = &x->surprisal, .model = x->model,
                                .vectors = x->has_vectors ? &x->vectors : NULL};
    return rc;
}

/* ---- scoring */

static int score(struct session *x, const struct local_answer *a, struct score *out, struct err *e)
{
    const struct scored_answer answer = {a->prompt, a->tokens, a->n_prompt, a->n};
    return score_answer(&x->scorer, &answer, out, e);
}

static int choose_tau(struct session *x, struct err *e)
{
    struct span_query *queries = calloc(x->n_nulls, sizeof *queries);
    struct span_calibration found;
    if (!queries)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", x->n_nulls);
    for (size_t i = 0; i < x->n_nulls; i++)
        queries[i] = (struct span_query){.prompt = x->null_answers[i].prompt,
                                         .prompt_tokens = x->null_answers[i].n_prompt,
                                         .answer = x->null_answers[i].tokens,
                                         .answer_tokens = x->null_answers[i].n};
    int rc = span_calibrate_tau(x->index, &x->surprisal, queries, x->n_nulls, MAX_NULL_SPANS_PPM, &found, e);
    free(queries);
    if (!rc)
        x->result.tau_millibits = x->scorer.tau_millibits = found.tau_millibits;
    return rc;
}

static int score_nulls(struct session *x, struct err *e)
{
    int rc = OL_OK;
    x->scores = calloc(x->nulls.n, sizeof *x->scores);
    if (!x->scores)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", x->nulls.n);
    for (size_t i = 0; i < x->nulls.n && !rc; i++) {
        rc = score(x, &x->null_answers[i], &x->scores[i], e);
        progress_show("null answers", (int64_t)i + 1, (int64_t)x->nulls.n, "answers");
    }
    progress_done();
    return rc;
}

static int choose_kappa(struct session *x, struct err *e)
{
    uint32_t *cosines = calloc(x->n_nulls, sizeof *cosines);
    if (!cosines)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", x->n_nulls);
    for (size_t i = 0; i < x->n_nulls; i++)
        cosines[i] = x->scores[i].cosine_ppb;
    x->result.gradients.kappa_ppb = calibration_kappa(cosines, x->n_nulls);
    free(cosines);
    return OL_OK;
}

/* X and the units of an answer under κ and S₀. */
static int pay(const struct session *x, const struct score *s, uint64_t s0, uint64_t *total, uint32_t *units,
               struct err *e)
{
    const struct influence_rule rule = {x->result.gradients.kappa_ppb, s0};
    const struct influence_answer a = {s->query, s->tokens, s->open_tokens};
    struct influence_result r;
    *total = *units = 0;
    if (!s->has_query)
        return OL_OK;
    int rc = influence_units(&x->vectors, &rule, &a, &r, e);
    if (rc)
        return rc;
    *total = r.total;
    *units = r.units;
    influence_result_deinit(&r);
    return OL_OK;
}

static int choose_s0(struct session *x, struct err *e)
{
    struct calibration_gradients *g = &x->result.gradients;
    struct score *s = malloc(sizeof *s);
    uint64_t *totals = calloc(x->domain.n + 1, sizeof *totals);
    uint32_t paid = 0, units;
    int rc = s && totals ? OL_OK : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu answers", x->domain.n);
    for (size_t i = 0; i < x->domain.n && !rc; i++) {
        rc = score(x, &x->domain_answers[i], s, e);
        if (!rc)
            rc = pay(x, s, 1, &totals[i], &units, e);
        paid += totals[i] > 0;
        progress_show("the adapter's answers", (int64_t)i + 1, (int64_t)x->domain.n, "answers");
    }
    progress_done();
    if (!rc) {
        g->domain_prompts = (uint32_t)x->domain.n;
        g->domain_paid_ppm = (uint32_t)((uint64_t)paid * MILLION / x->domain.n);
        g->s0 = calibration_median(totals, x->domain.n);
        x->result.has_gradients = g->s0 > 0;
    }
    free(s);
    free(totals);
    return rc;
}

static int test(struct session *x, struct err *e)
{
    struct null_test *t = &x->result.fresh;
    uint64_t total, sum = 0;
    uint32_t units;
    int rc = OL_OK;
    for (size_t i = x->n_nulls; i < x->nulls.n && !rc; i++) {
        const struct score *s = &x->scores[i];
        units = 0;
        if (x->result.has_gradients)
            rc = pay(x, s, x->result.gradients.s0, &total, &units, e);
        uint64_t paid = (s->tokens ? (uint64_t)PPB * s->span_tokens / s->tokens : 0) + units;
        uint32_t ppm = (uint32_t)((paid + 999) / 1000);
        t->prompts++;
        t->any += paid > 0;
        t->largest_ppm = ppm > t->largest_ppm ? ppm : t->largest_ppm;
        sum += paid;
    }
    if (t->prompts) {
        t->paid_ppm = (uint32_t)((sum / t->prompts + 999) / 1000);
        calibration_interval(t->any, t->prompts, &t->any_low_ppm, &t->any_high_ppm);
    }
    return rc;
}

static int calibrate(struct session *x, struct err *e)
{
    char path[PATH_MAX];
    x->result = (struct calibration){.version = CALIBRATION_VERSION, .null_prompts = (uint32_t)x->args->nulls,
                                     .answer_tokens = (uint32_t)x->args->tokens};
    int rc = open_folder(x, e);
    if (!rc)
        rc = open_prompts(x, e);
    if (!rc)
        rc = answer_all(x, e);
    if (!rc)
        rc = open_model(x, e);
    if (!rc)
        rc = choose_tau(x, e);
    if (!rc)
        rc = score_nulls(x, e);
    if (!rc && x->has_vectors)
        rc = choose_kappa(x, e);
    if (!rc && x->has_vectors)
        rc = choose_s0(x, e);
    if (!rc)
        rc = test(x, e);
    if (!rc)
        rc = policy_path(x->args->folder, POLICY_CALIBRATION_FILE, path, e);
    return rc ? rc : notation_write_file(&calibration_schema, &x->result, path, CALIBRATION_MAX_BYTES, e);
}

/* ---- the command */

static void print(const struct session *x)
{
    const struct calibration *c = &x->result;
    const struct null_test *t = &c->fresh;
    if (x->args->json) {
        struct buf text;
        buf_init(&text, CALIBRATION_MAX_BYTES);
        notation_write(&calibration_schema, c, &text);
        puts(buf_str(&text));
        buf_deinit(&text);
        return;
    }
    printf("tau %.3f bits", c->tau_millibits / 1000.0);
    if (c->has_gradients)
        printf(", kappa %.6f, S0 %llu: %.1f %% of %u answers of the adapter earn\n",
               c->gradients.kappa_ppb / (double)PPB, (unsigned long long)c->gradients.s0,
               c->gradients.domain_paid_ppm / 1e4, c->gradients.domain_prompts);
    else
        printf("; gradients are of no use here: %s\n", x->has_vectors ? "half of the adapter's own answers earn nothing"
                                                                       : "there are no vectors");
    if (t->prompts)
        printf("%u fresh null answers: %.3f %% paid on average, %u with any pay (95 %%: %.2f to %.2f %%)\n", t->prompts,
               t->paid_ppm / 1e4, t->any, t->any_low_ppm / 1e4, t->any_high_ppm / 1e4);
}

static void close_session(struct session *x)
{
    span_scratch_deinit(&x->scorer.scratch);
    lora_model_close(x->model);
    if (x->file)
        model_file_close(x->file);
    vectors_close(&x->vectors);
    surprisal_deinit(&x->surprisal);
    span_index_close(x->index);
    local_answers_free(x->null_answers, x->nulls.n);
    local_answers_free(x->domain_answers, x->domain.n);
    prompt_list_free(&x->nulls);
    prompt_list_free(&x->domain);
    free(x->scores);
}

int command_attribution_calibrate(const struct command *command, int argc, char **argv)
{
    struct calibrate_args a = {.null_prompts = OPENLORA_NULL_PROMPTS, .isa = "auto", .nulls = 400, .fresh = 500,
                               .tokens = 64, .max_tokens = LORA_DEFAULT_ROWS};
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory of the base model"),
        TEXT("adapter", &a.adapter, "PATH", "the adapter as it is served; none: spans of the base model"),
        REQUIRED("out", &a.folder, "DIR",
                 "the policy's folder: its index and vectors are read, " POLICY_CALIBRATION_FILE " is written"),
        TEXT("prompts", &a.prompts, "FILE", "prompts that users send to this adapter, not in its data; one a line"),
        TEXT("null-prompts", &a.null_prompts, "FILE", "prompts outside the data, one a line"),
        INT("nulls", &a.nulls, "N", "null prompts that calibrate", 1, 1 << 20),
        INT("fresh", &a.fresh, "N", "further null prompts that test, as far as there are", 0, 1 << 20),
        INT("tokens", &a.tokens, "N", "longest answer", 1, 1 << 16),
        INT("max-tokens", &a.max_tokens, "N", "longest prompt and answer of a gradient", 2, 1 << 20),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, MAX_DEVICE_THREADS),
        FLAG("json", &a.json, "print one JSON object"),
        OPTIONS_END};
    struct err e = {0};
    struct session x = {.args = &a};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : calibrate(&x, &e);
    if (words >= 0 && !rc)
        print(&x);
    close_session(&x);
    if (words < 0)
        return options_exit(words);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
