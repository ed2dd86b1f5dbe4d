/* What golden tests compare of the gradient side of attribution with numpy and Python's integers:
 *
 *   units VECTORS     cases on standard input, each "κ S0 T U" and v̂; a line per contributor, then X and G
 *   solve FORM n k m  float64 Φ (n, k) and b (m, k) on standard input, x (m, k) on standard output
 *   sketch SEED BLOCKS BUDGET BLOCK FIRST   float32 on standard input, float64 on standard output
 *   divide            "units n" and n weights per case; n numbers
 *   query MODEL ADAPTER VECTORS   "choices", and of each "prompt answer" as numbers of tokens, their ids, and for each
 * of the answer's whether it is open; v̂ */
#include "attribution/fisher.h"
#include "attribution/gradient.h"
#include "attribution/influence.h"
#include "chainlite/core/shares.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail_with(const struct err *e)
{
    fprintf(stderr, "influence_dump: %s\n", e->message);
    return 1;
}

static int units(const char *path)
{
    struct err e = {0};
    struct vectors v;
    struct influence_rule rule;
    struct influence_answer answer;
    static int16_t query[SKETCH_MAX_DIMENSIONS];
    if (vectors_open(path, &v, &e) != 0)
        return fail_with(&e);
    answer.query = query;
    while (scanf("%" SCNu32 " %" SCNu64 " %" SCNu32 " %" SCNu32, &rule.kappa_ppb, &rule.s0, &answer.tokens,
                 &answer.open_tokens) == 4) {
        struct influence_result r;
        for (uint32_t i = 0; i < v.sketch.dimensions; i++)
            if (scanf("%" SCNd16, &query[i]) != 1)
                return 1;
        if (influence_units(&v, &rule, &answer, &r, &e) != 0)
            return fail_with(&e);
        for (uint32_t c = 0; c < v.n; c++)
            printf("%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 "\n", r.rows[c].influence,
                   r.rows[c].floor, r.rows[c].earned, r.rows[c].units, influence_cosine_ppb(&v, query, c));
        printf("%" PRIu64 " %" PRIu32 "\n", r.total, r.units);
        influence_result_deinit(&r);
    }
    vectors_close(&v);
    return 0;
}

static double *read_doubles(size_t n)
{
    double *out = malloc(n * sizeof *out);
    if (!out || fread(out, sizeof *out, n, stdin) != n)
        exit(1);
    return out;
}

static int solve(const char *form, size_t n, size_t k, size_t m)
{
    static const char *const forms[] = {"by_size", "primal", "dual", "datainf"};
    int chosen = 0;
    struct err e = {0};
    while (chosen < 3 && strcmp(form, forms[chosen]) != 0)
        chosen++;
    double *phi = read_doubles(n * k), *b = read_doubles(m * k);
    struct fisher_rows rows = {phi, n, k, k};
    if (fisher_solve(&rows, (enum fisher_form)chosen, b, m, k, b, &e) != 0)
        return fail_with(&e);
    fwrite(b, sizeof *b, m * k, stdout);
    free(phi);
    free(b);
    return 0;
}

static int sketch(char **word)
{
    struct sketch s;
    float value;
    uint32_t block = (uint32_t)strtoul(word[3], NULL, 10);
    uint64_t at = strtoull(word[4], NULL, 10);
    sketch_init(&s, strtoull(word[0], NULL, 10), (uint32_t)strtoul(word[1], NULL, 10),
                (uint32_t)strtoul(word[2], NULL, 10));
    double *out = calloc(s.block_dimensions[block], sizeof *out);
    if (!out)
        return 1;
    while (fread(&value, sizeof value, 1, stdin) == 1)
        sketch_add(&s, block, at++, &value, 1, out);
    fwrite(out, sizeof *out, s.block_dimensions[block], stdout);
    free(out);
    return 0;
}

static int divide(void)
{
    enum { MOST = 256 };
    struct division parts[MOST];
    uint32_t whole;
    size_t n;
    while (scanf("%" SCNu32 " %zu", &whole, &n) == 2 && n <= MOST) {
        for (size_t i = 0; i < n; i++)
            if (scanf("%" SCNu64, &parts[i].weight) != 1)
                return 1;
        units_divide(whole, parts, n);
        for (size_t i = 0; i < n; i++)
            printf("%" PRIu32 "%c", parts[i].units, i + 1 < n ? ' ' : '\n');
    }
    return 0;
}

static size_t read_size(void)
{
    size_t n;
    if (scanf("%zu", &n) != 1 || n > 1 << 20)
        exit(1);
    return n;
}

static void *read_numbers(size_t n, size_t size)
{
    unsigned char *out = calloc(n + 1, size);
    for (size_t i = 0; i < n && out; i++) {
        uint32_t value = (uint32_t)read_size();
        memcpy(out + i * size, &value, size); /* little-endian */
    }
    return out;
}

static int query(const char *model_path, const char *adapter, const char *vectors_path)
{
    enum { MOST = 8 };
    struct gradient_choice choices[MOST];
    const struct train_config config = {.threads = 2};
    struct err e = {0};
    struct model_file *file;
    struct lora_model *model;
    struct vectors v;
    static int16_t out[SKETCH_MAX_DIMENSIONS];
    size_t n = read_size();
    for (size_t i = 0; i < n && i < MOST; i++) {
        choices[i].n_prompt = read_size();
        choices[i].n = read_size();
        choices[i].prompt = read_numbers(choices[i].n_prompt, 4);
        choices[i].answer = read_numbers(choices[i].n, 4);
        choices[i].open = read_numbers(choices[i].n, sizeof(bool));
    }
    if (model_file_open(model_path, &file, &e) || lora_model_open(file, &config, &model, &e) ||
        lora_model_load_adapter(model, adapter, &e) || vectors_open(vectors_path, &v, &e))
        return fail_with(&e);
    for (int again = 0; again < 2; again++) /* the adapter is whole again after the first */
        if (gradient_query(model, &v.sketch, choices, n, out, &e))
            return fail_with(&e);
    for (uint32_t i = 0; i < v.sketch.dimensions; i++)
        printf("%d\n", out[i]);
    for (size_t i = 0; i < n && i < MOST; i++) {
        free((void *)(uintptr_t)choices[i].prompt);
        free((void *)(uintptr_t)choices[i].answer);
        free((void *)(uintptr_t)choices[i].open);
    }
    vectors_close(&v);
    lora_model_close(model);
    model_file_close(file);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "units") == 0)
        return units(argv[2]);
    if (argc == 6 && strcmp(argv[1], "solve") == 0)
        return solve(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
    if (argc == 7 && strcmp(argv[1], "sketch") == 0)
        return sketch(argv + 2);
    if (argc == 2 && strcmp(argv[1], "divide") == 0)
        return divide();
    if (argc == 5 && strcmp(argv[1], "query") == 0)
        return query(argv[2], argv[3], argv[4]);
    fprintf(stderr, "usage: influence_dump units|solve|sketch|divide|query …\n");
    return 2;
}
