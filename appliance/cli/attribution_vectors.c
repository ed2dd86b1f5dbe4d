/* openlora attribution vectors: what each contributor's rows would change in an adapter, as the published vectors. */
#include "attribution/policy.h"
#include "attribution/taught_rows.h"
#include "base/clock.h"
#include "base/file_hash.h"
#include "cli/attribution.h"
#include "cli/progress.h"
#include "model/adapter_file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "vectors"

struct vectors_args {
    const char *model, *adapter, *out;
    struct option_list datanets;
    int64_t dimensions, seed, max_tokens, threads;
    bool json;
};

/* Everything a run holds; released in one place. */
struct session {
    const struct vectors_args *args;
    struct model_file *file;
    struct row_encoder *encoder;
    struct datanet_version **datanets; /* (n_datanets) */
    uint32_t n_datanets;
    struct taught_rows rows;
    struct lora_model *model;
    struct sketch sketch;
    double *phi, *norms, *u; /* (rows, K), (rows), (contributors, K) */
    int16_t *values;         /* (contributors, K) */
    int32_t exponent;
    double clip_norm, least_cosine, gradients_s, solve_s;
    char path[PATH_MAX], hash[SHA256_HEX_BYTES];
};

static int open_inputs(struct session *x, struct err *e)
{
    const struct vectors_args *a = x->args;
    int rc = model_file_open(a->model, &x->file, e);
    if (!rc)
        rc = row_encoder_open(x->file, &x->encoder, e);
    x->datanets = calloc((size_t)a->datanets.n + 1, sizeof(struct datanet_version *));
    if (!rc && !x->datanets)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %d Datanets", a->datanets.n);
    for (; (int)x->n_datanets < a->datanets.n && !rc; x->n_datanets += !rc)
        rc = datanet_version_open(a->datanets.items[x->n_datanets], &x->datanets[x->n_datanets], e);
    if (!rc)
        rc = taught_rows_load(x->encoder, x->datanets, x->n_datanets, &x->rows, e);
    if (!rc && x->rows.n == 0)
        rc = err_set(e, OL_EINVAL, MODULE, "no row of these Datanets teaches anything");
    return rc;
}

/* The sketch's seed is the adapter's own: known only after its data were. */
static int choose_seed(const struct session *x, uint64_t *seed, struct err *e)
{
    char hash[SHA256_HEX_BYTES], digits[17];
    *seed = (uint64_t)x->args->seed;
    if (x->args->seed >= 0)
        return OL_OK;
    int rc = adapter_file_hash(x->args->adapter, model_file_config(x->file), hash, e);
    snprintf(digits, sizeof digits, "%.16s", hash);
    *seed = rc ? 0 : strtoull(digits, NULL, 16) >> 1; /* below 2^63 */
    return rc;
}

static int open_model(struct session *x, struct err *e)
{
    const struct vectors_args *a = x->args;
    uint64_t seed;
    int rc = attribution_model_open(x->file, a->adapter, (int)a->threads, (int32_t)a->max_tokens, &x->model, e);
    if (!rc)
        rc = choose_seed(x, &seed, e);
    if (!rc)
        rc = gradient_sketch_init(&x->sketch, seed, (uint32_t)a->dimensions, lora_model_layout(x->model), e);
    if (rc)
        return rc;
    size_t k = x->sketch.dimensions;
    x->phi = calloc(x->rows.n, k * sizeof *x->phi);
    x->norms = calloc(x->rows.n, sizeof *x->norms);
    x->u = calloc(x->rows.n_owners, k * sizeof *x->u);
    x->values = calloc(x->rows.n_owners, k * sizeof *x->values);
    return x->phi && x->norms && x->u && x->values
               ? OL_OK
               : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu rows of %zu numbers", x->rows.n, k);
}

static void show_rows(void *user, size_t done, size_t total)
{
    (void)user;
    progress_show("gradients", (int64_t)done, (int64_t)total, "rows");
}

/* The smallest cosine between a vector and its integers: what quantization costs. */
static double least_cosine(const struct session *x)
{
    size_t k = x->sketch.dimensions;
    double least = 1;
    for (size_t c = 0; c < x->rows.n_owners; c++) {
        double dot = 0, u2 = 0, q2 = 0;
        for (size_t i = c * k; i < (c + 1) * k; i++) {
            dot += x->u[i] * x->values[i];
            u2 += x->u[i] * x->u[i];
            q2 += (double)x->values[i] * x->values[i];
        }
        double cosine = u2 > 0 && q2 > 0 ? dot / sqrt(u2 * q2) : 0;
        least = cosine < least ? cosine : least;
    }
    return least;
}

static int compute(struct session *x, struct err *e)
{
    size_t k = x->sketch.dimensions;
    double start_s = clock_mono_s();
    int rc = gradient_rows(x->model, &x->sketch, x->rows.rows, x->rows.n, (int32_t)x->args->max_tokens, x->phi,
                           x->norms, show_rows, NULL, e);
    progress_done();
    x->gradients_s = clock_mono_s() - start_s;
    if (!rc)
        rc = gradient_solve(&x->sketch, x->phi, x->norms, x->rows.owners, x->rows.n, x->rows.n_owners, x->u,
                            &x->clip_norm, e);
    x->solve_s = clock_mono_s() - start_s - x->gradients_s;
    if (!rc)
        rc = vectors_quantize(x->u, x->rows.n_owners * k, x->values, &x->exponent, e);
    if (rc)
        return rc;
    x->least_cosine = least_cosine(x);
    rc = policy_path(x->args->out, POLICY_VECTORS_FILE, x->path, e);
    if (!rc)
        rc = vectors_write(x->path, &x->sketch, x->exponent, x->clip_norm, x->rows.owner, x->values, x->rows.n_owners,
                           e);
    return rc ? rc : file_hash(x->path, x->hash, e);
}

static void print(const struct session *x)
{
    const struct taught_rows *r = &x->rows;
    if (x->args->json) {
        printf("{\"path\":\"%s\",\"sha256\":\"%s\",\"contributors\":%u,\"rows\":%zu,\"copies\":%zu,\"empty\":%zu,"
               "\"withdrawn\":%zu,\"tokens\":%zu,\"dimensions\":%u,\"blocks\":%u,\"seed\":%llu,\"exponent\":%d,"
               "\"clip_norm\":%.17g,\"least_cosine\":%.9f,\"gradients_s\":%.2f,\"solve_s\":%.3f}\n",
               x->path, x->hash, r->n_owners, r->n, r->copies, r->empty, r->withdrawn, r->tokens, x->sketch.dimensions,
               x->sketch.n_blocks, (unsigned long long)x->sketch.seed, x->exponent, x->clip_norm, x->least_cosine,
               x->gradients_s, x->solve_s);
        return;
    }
    printf("%u contributors, %zu rows (%zu copies, %zu empty and %zu withdrawn contributions left out), %zu tokens\n",
           r->n_owners, r->n, r->copies, r->empty, r->withdrawn, r->tokens);
    printf("%u dimensions in %u layers, clipped to norm %.6g, quantized to a cosine of %.7f\n", x->sketch.dimensions,
           x->sketch.n_blocks, x->clip_norm, x->least_cosine);
    printf("gradients %.1f s (%.0f tokens/s), solve %.2f s\n%s  %s\n", x->gradients_s,
           (double)r->tokens / (x->gradients_s > 0 ? x->gradients_s : 1), x->solve_s, x->hash, x->path);
}

static void close_session(struct session *x)
{
    lora_model_close(x->model);
    taught_rows_deinit(&x->rows);
    for (uint32_t i = 0; i < x->n_datanets; i++)
        datanet_version_close(x->datanets[i]);
    row_encoder_close(x->encoder);
    if (x->file)
        model_file_close(x->file);
    free((void *)x->datanets);
    free(x->phi);
    free(x->norms);
    free(x->u);
    free(x->values);
}

int command_attribution_vectors(const struct command *command, int argc, char **argv)
{
    struct vectors_args a = {.dimensions = SKETCH_MAX_DIMENSIONS, .seed = -1, .max_tokens = LORA_DEFAULT_ROWS};
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory of the base model"),
        REQUIRED("adapter", &a.adapter, "PATH", "the adapter, byte for byte as it is served"),
        LIST("datanet", &a.datanets, "DIR", "exported Datanet versions, in the order of the index"),
        REQUIRED("out", &a.out, "DIR", "the policy's folder: gets " POLICY_VECTORS_FILE),
        INT("dimensions", &a.dimensions, "K", "numbers of a vector, shared by the layers", 1, SKETCH_MAX_DIMENSIONS),
        INT("seed", &a.seed, "N", "of the sketch; -1: taken from the adapter's hash", -1, (double)(INT64_MAX >> 11)),
        INT("max-tokens", &a.max_tokens, "N", "computed together; a longer row is cut", 2, 1 << 20),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, 1024),
        FLAG("json", &a.json, "print one JSON object"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0), rc = 0;
    struct session x = {.args = &a};
    if (words >= 0 && a.datanets.n == 0)
        rc = err_set(&e, OL_EINVAL, MODULE, "name at least one --datanet");
    if (words >= 0 && !rc)
        rc = open_inputs(&x, &e);
    if (words >= 0 && !rc)
        rc = open_model(&x, &e);
    if (words >= 0 && !rc)
        rc = compute(&x, &e);
    if (words >= 0 && !rc)
        print(&x);
    close_session(&x);
    free(a.datanets.items);
    if (words < 0)
        return options_exit(words);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
