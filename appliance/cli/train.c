/* openlora train: a LoRA adapter from Datanet versions and files, with its training record (docs/training.md). */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/train_folder.h"
#include "cli/train_report.h"
#include "model/adapter_file.h"
#include "training/adapter_write.h"
#include "training/record.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "train"
#define ARITHMETIC "float32"

struct train_args {
    const char *model, *out, *targets, *schedule, *too_long, *dtype, *start, *base_name;
    struct option_list data, datanets, eval_data, eval_datanets;
    int64_t rank, max_tokens, batch, accumulate, warmup, epochs, steps, seed, checkpoint_every, threads;
    bool rslora, resume, overwrite, json, quiet;
    double alpha, dropout, eval_fraction, rate, clip, weight_decay, beta1, beta2, epsilon;
};

/* Everything a run holds; released in one place. */
struct session {
    const struct train_args *args;
    struct train_settings settings;
    enum dtype dtype;
    struct train_folder folder;
    struct model_file *file;
    struct record_base base;
    struct row_encoder *encoder;
    struct dataset data, evaluation;
    char start[65]; /* content of the adapter it goes on from; "": none */
    json_t *identity;
    struct trainer *trainer;
    struct train_report report;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

/* The first signal ends the training after its step; the second, the program at once. */
static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- the words of the command line */

static int read_settings(const struct train_args *a, struct train_settings *s, enum dtype *dtype, struct err *e)
{
    *s = (struct train_settings){
        .rank = (int32_t)a->rank, .alpha = a->alpha, .rslora = a->rslora, .dropout = a->dropout,
        .data = {(int32_t)a->max_tokens, too_long_find(a->too_long)}, .batch = (int32_t)a->batch,
        .accumulate = (int32_t)a->accumulate, .eval_fraction = a->eval_fraction,
        .adamw = {a->beta1, a->beta2, a->epsilon, a->weight_decay}, .schedule = schedule_find(a->schedule),
        .rate = a->rate,
        .clip = a->clip, .warmup = a->warmup, .epochs = a->epochs, .steps = a->steps, .seed = (uint64_t)a->seed};
    if (s->schedule == SCHEDULES)
        return err_set(e, OL_EINVAL, MODULE, "--schedule %s: constant, linear or cosine", a->schedule);
    if (s->data.too_long == LONG_RULES)
        return err_set(e, OL_EINVAL, MODULE, "--too-long %s: refuse, truncate or skip", a->too_long);
    if (strcmp(a->dtype, "f32") != 0 && strcmp(a->dtype, "f16") != 0)
        return err_set(e, OL_EINVAL, MODULE, "--dtype %s: f32 or f16", a->dtype);
    *dtype = strcmp(a->dtype, "f16") == 0 ? DTYPE_F16 : DTYPE_F32;
    if (!a->data.n && !a->datanets.n)
        return err_set(e, OL_EINVAL, MODULE, "nothing to learn from: name a --datanet or --data");
    if ((a->eval_data.n || a->eval_datanets.n) && a->eval_fraction > 0)
        return err_set(e, OL_EINVAL, MODULE, "--eval-fraction and a set of its own for evaluation exclude each other");
    int rc = lora_targets_parse(a->targets, &s->targets, e);
    return rc ? rc : train_settings_check(s, e);
}

/* ---- opening */

static int add_sources(struct session *x, const struct option_list *datanets, const struct option_list *files,
                       struct dataset *to, struct err *e)
{
    int rc = 0, total = datanets->n + files->n;
    if (!total)
        return 0;
    for (int i = 0; i < datanets->n && !rc; i++)
        rc = dataset_add_datanet(to, datanets->items[i], x->encoder, &x->settings.data, e);
    for (int i = 0; i < files->n && !rc; i++)
        rc = dataset_add_file(to, files->items[i], x->encoder, &x->settings.data, e);
    return rc ? rc : dataset_check(to, &x->settings.data, e);
}

static int hash_adapter(const struct session *x, const char *path, char out[65], struct err *e)
{
    const struct model_config *model = model_file_config(x->file);
    struct adapter_image image;
    int rc = adapter_file_load(path, model, (adapter_min_page_bytes(model) + 63) / 64 * 64, &image, e);
    if (rc)
        return rc;
    snprintf(out, 65, "%s", image.hash);
    adapter_image_deinit(&image);
    return 0;
}

static int open_base(struct session *x, struct err *e)
{
    const struct train_args *a = x->args;
    int rc = model_file_open(a->model, &x->file, e);
    if (rc)
        return rc;
    const struct model_config *model = model_file_config(x->file);
    const char *slash = strrchr(a->model, '/');
    x->base.name = a->base_name ? a->base_name : *model->name ? model->name : slash ? slash + 1 : a->model;
    if (x->settings.data.max_tokens > model->context)
        rc = err_set(e, OL_EINVAL, MODULE, "--max-tokens %d: the model was trained for %d", x->settings.data.max_tokens,
                     model->context);
    if (!rc)
        rc = model_file_version(x->file, x->base.content, e);
    if (!rc && a->start)
        rc = hash_adapter(x, a->start, x->start, e);
    return rc ? rc : row_encoder_open(x->file, &x->encoder, e);
}

static int open_data(struct session *x, struct err *e)
{
    const struct train_args *a = x->args;
    int rc = add_sources(x, &a->datanets, &a->data, &x->data, e);
    if (!rc)
        rc = add_sources(x, &a->eval_datanets, &a->eval_data, &x->evaluation, e);
    if (rc)
        return rc;
    x->identity = record_identity(&x->base, *x->start ? x->start : NULL, &x->data, &x->evaluation, &x->settings);
    return x->identity ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for the record");
}

/* What lies in the folder decides what may be done. *finished: nothing is left to do. */
static int open_folder(struct session *x, bool *finished, struct err *e)
{
    const struct train_args *a = x->args;
    struct train_folder *f = &x->folder;
    int rc = train_folder_open(a->out, f, e);
    if (rc || (a->resume && f->has_checkpoint))
        return rc;
    if (a->resume && f->has_record) {
        *finished = true;
        return record_check(a->out, x->identity, e);
    }
    if (f->has_checkpoint && !a->overwrite)
        return err_set(e, OL_EEXIST, MODULE,
                       "%s holds a training that was stopped: go on with --resume, or start anew with "
                       "--overwrite", a->out);
    if (f->has_adapter && !a->overwrite)
        return err_set(e, OL_EEXIST, MODULE, "%s holds an adapter: name another folder, or --overwrite", a->out);
    rc = train_folder_remove(f, RECORD_NAME, e); /* first: it must never stand beside another adapter */
    return rc ? rc : train_folder_remove(f, TRAIN_CHECKPOINT, e);
}

static int open_trainer(struct session *x, struct err *e)
{
    const struct train_args *a = x->args;
    const struct trainer_config config = {.settings = &x->settings, .file = x->file, .data = &x->data,
                                          .evaluation = x->evaluation.n ? &x->evaluation : NULL, .start = a->start,
                                          .identity = x->identity, .checkpoint = x->folder.checkpoint,
                                          .checkpoint_every = a->checkpoint_every, .threads = (int)a->threads,
                                          .events = train_report_events(&x->report)};
    int rc = trainer_open(&config, &x->trainer, e);
    if (!rc && a->resume && x->folder.has_checkpoint)
        rc = trainer_resume(x->trainer, e);
    return rc;
}

/* ---- what it says at the start and at the end */

static void say_start(struct session *x)
{
    const struct train_plan *p = trainer_plan(x->trainer);
    const struct dataset *d = &x->data;
    int64_t done = trainer_done_steps(x->trainer), n = trainer_layout(x->trainer)->n_params;
    x->report.epochs = p->epochs;
    json_t *fields = json_pack(
        "{sI sI sI sI sI sI sI sI sb}", "parameters", (json_int_t)n, "examples", (json_int_t)p->n_train, "held_out",
        (json_int_t)p->n_held_out, "learnt", (json_int_t)d->taught, "tokens", (json_int_t)d->n_tokens, "long_rows",
        (json_int_t)d->long_rows, "steps", (json_int_t)p->steps, "done", (json_int_t)done, "resumed", done > 0);
    train_report_json(&x->report, "start", fields);
    train_report_line(&x->report,
                      "%lld parameters, %u examples (%lld of %zu tokens are learnt), %u held out; %lld steps in "
                      "%lld epochs", (long long)n, p->n_train + p->n_held_out, (long long)d->taught, d->n_tokens,
                      p->n_held_out, (long long)p->steps, (long long)p->epochs);
    if (d->long_rows)
        train_report_line(&x->report, "%u rows were longer than %d tokens and are %s", d->long_rows,
                          x->settings.data.max_tokens, x->settings.data.too_long == LONG_SKIP ? "left out" : "cut");
    if (done)
        train_report_line(&x->report, "going on after step %lld", (long long)done);
}

static void say_stopped(struct session *x)
{
    int64_t done = trainer_done_steps(x->trainer), steps = trainer_plan(x->trainer)->steps;
    train_report_json(&x->report, "stopped", json_pack("{sI sI ss}", "step", (json_int_t)done, "steps",
                                                       (json_int_t)steps, "checkpoint", x->folder.checkpoint));
    train_report_line(&x->report,
                      "stopped after step %lld of %lld, all of it is in %s; the same command with --resume goes on",
                      (long long)done, (long long)steps, x->folder.checkpoint);
}

/* ---- the end: adapter, record, and only then the checkpoint goes */

static int write_adapter(struct session *x, struct err *e)
{
    const struct train_settings *s = &x->settings;
    const struct adapter_description description = {.base_name = x->base.name, .targets = s->targets, .rank = s->rank,
                                                    .alpha = s->alpha, .dropout = s->dropout, .rslora = s->rslora,
                                                    .dtype = x->dtype};
    const struct trainer_result result = trainer_result(x->trainer);
    char content[65];
    const struct record_run run = {.result = &result, .adapter = content, .arithmetic = ARITHMETIC};
    int rc = adapter_write(x->args->out, trainer_layout(x->trainer), trainer_params(x->trainer), &description, e);
    if (!rc)
        rc = hash_adapter(x, x->args->out, content, e); /* read back as a node reads it */
    if (!rc)
        rc = record_write(x->args->out, x->identity, &run, e);
    if (!rc)
        rc = train_folder_remove(&x->folder, TRAIN_CHECKPOINT, e);
    if (rc)
        return rc;
    train_report_json(&x->report, "done", json_pack("{ss ss sI sf}", "folder", x->args->out, "adapter", content,
                                                    "steps", (json_int_t)result.steps, "seconds", result.seconds));
    train_report_line(&x->report, "%s: adapter %.16s… and %s, %.0f s", x->args->out, content, RECORD_NAME,
                      result.seconds);
    return 0;
}

static int train(struct session *x, struct err *e)
{
    bool finished = false;
    int rc = read_settings(x->args, &x->settings, &x->dtype, e);
    if (!rc)
        rc = open_base(x, e);
    if (!rc)
        rc = open_data(x, e);
    if (!rc)
        rc = open_folder(x, &finished, e);
    if (!rc && finished) {
        train_report_line(&x->report, "%s: this training is done", x->args->out);
        return 0;
    }
    if (!rc)
        rc = open_trainer(x, e);
    if (rc)
        return rc;
    say_start(x);
    catch_signals();
    rc = trainer_run(x->trainer, &stop, e);
    progress_done();
    if (rc == OL_ECANCELLED)
        say_stopped(x);
    return rc ? rc : write_adapter(x, e);
}

static void session_close(struct session *x)
{
    trainer_close(x->trainer);
    json_decref(x->identity);
    dataset_deinit(&x->data);
    dataset_deinit(&x->evaluation);
    row_encoder_close(x->encoder);
    model_file_close(x->file);
    train_folder_close(&x->folder);
}

static int run(const struct command *command, const struct train_args *a)
{
    struct err e = {0};
    struct session x = {.args = a, .folder = {.fd = -1}, .report = {.json = a->json, .quiet = a->quiet}};
    int rc = train(&x, &e);
    session_close(&x);
    if (rc == OL_ECANCELLED)
        return EXIT_INCOMPLETE;
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}

int command_train(const struct command *command, int argc, char **argv)
{
    struct train_args a = {.targets = "q_proj,v_proj", .schedule = "linear", .too_long = "refuse", .dtype = "f32",
                           .rank = 8, .alpha = 16, .max_tokens = 512, .batch = 8, .accumulate = 1, .warmup = 5,
                           .epochs = 3, .rate = 1e-3, .clip = 1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                           .checkpoint_every = 50};
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory of the base model"),
        REQUIRED("out", &a.out, "DIR", "folder of the adapter, made if missing"),
        LIST("datanet", &a.datanets, "DIR", "an exported Datanet version to learn from"),
        LIST("data", &a.data, "FILE", "a file to learn from: .jsonl (chat, instruction), .md or text"),
        REAL("eval-fraction", &a.eval_fraction, "F", "of the examples, held out and evaluated each epoch", 0, 1),
        LIST("eval-datanet", &a.eval_datanets, "DIR", "evaluate on this Datanet version instead"),
        LIST("eval-data", &a.eval_data, "FILE", "evaluate on this file instead"),
        INT("max-tokens", &a.max_tokens, "N", "longest example; texts are cut into windows of it", 2, 1 << 20),
        TEXT("too-long", &a.too_long, "RULE", "longer rows: refuse, truncate or skip"),
        TEXT("targets", &a.targets, "LIST",
             "layers to adapt: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, "
                                            "or all"),
        INT("rank", &a.rank, "R", "rank of the adapter", 1, LORA_MAX_RANK),
        REAL("alpha", &a.alpha, "A", "its weight: alpha / rank", 0, 1e6),
        FLAG("rslora", &a.rslora, "weight alpha / sqrt(rank)"),
        REAL("dropout", &a.dropout, "P", "of the adapter's input", 0, 0.99),
        TEXT("start", &a.start, "ADAPTER", "go on from this adapter, of the same targets, rank and alpha"),
        INT("batch", &a.batch, "N", "examples computed together", 1, MAX_BATCH),
        INT("accumulate", &a.accumulate, "N", "batches in a step", 1, MAX_BATCH),
        INT("epochs", &a.epochs, "N", "times each example is seen", 1, MAX_EPOCHS),
        INT("steps", &a.steps, "N", "steps in place of epochs, 0: as many as the epochs have", 0, 1e9),
        REAL("lr", &a.rate, "RATE", "highest learning rate", 0, 10),
        TEXT("schedule", &a.schedule, "NAME", "after the warm-up: constant, linear or cosine"),
        INT("warmup", &a.warmup, "N", "steps of warm-up", 0, 1e9),
        REAL("clip", &a.clip, "NORM", "greatest norm of a gradient, 0: any", 0, 1e9),
        REAL("weight-decay", &a.weight_decay, "D", "of AdamW", 0, 10),
        REAL("beta1", &a.beta1, "B", "of AdamW", 0, 1),
        REAL("beta2", &a.beta2, "B", "of AdamW", 0, 1),
        REAL("epsilon", &a.epsilon, "E", "of AdamW", 0, 1),
        INT("seed", &a.seed, "N", "of start, order, held-out part and dropout", 0, 1LL << 53),
        TEXT("dtype", &a.dtype, "TYPE", "of the file: f32 or f16"),
        TEXT("base-name", &a.base_name, "NAME", "the base model's name in adapter_config.json"),
        INT("checkpoint-every", &a.checkpoint_every, "N", "steps, 0: only when stopped", 0, 1e9),
        FLAG("resume", &a.resume, "go on from the folder's checkpoint; the other options as they were"),
        FLAG("overwrite", &a.overwrite, "replace what the folder holds"),
        INT("threads", &a.threads, "N", "compute threads, 0: every core; never changes the result", 0,
            MAX_DEVICE_THREADS),
        FLAG("json", &a.json, "one JSON object a line: start, step, epoch, stopped, done"),
        FLAG("quiet", &a.quiet, "say nothing but errors"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    int code = words < 0 ? options_exit(words) : run(command, &a);
    free(a.data.items);
    free(a.datanets.items);
    free(a.eval_data.items);
    free(a.eval_datanets.items);
    return code;
}
