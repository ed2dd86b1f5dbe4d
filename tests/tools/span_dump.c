/* For tests/golden/test_spans.py: FOLDER TAU of an index; each line on standard input is {"prompt": [ids], "answer":
 * [[ids of a choice]…]}, each answer {"spans": [[start, tokens, document, offset, millibits]…], "open": tokens}. */
#include "attribution/policy.h"
#include "attribution/span_rule.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void stop(const struct err *e)
{
    fprintf(stderr, "span_dump: %s\n", e->message);
    exit(1);
}

/* Appends the ids to *ids, of which there are n. */
static size_t read_ids(const json_t *list, int32_t **ids, size_t n)
{
    *ids = realloc(*ids, (n + json_array_size(list) + 1) * sizeof **ids);
    for (size_t i = 0; i < json_array_size(list); i++)
        (*ids)[n++] = (int32_t)json_integer_value(json_array_get(list, i));
    return n;
}

static void answer(const struct span_index *x, const struct surprisal *s, uint32_t tau, const json_t *request)
{
    static struct span spans[SPAN_MAX_ANSWER];
    const json_t *choices = json_object_get(request, "answer");
    int32_t *prompt = NULL, *ids = NULL;
    struct span_query q = {.n_choices = json_array_size(choices), .tau_millibits = tau};
    uint32_t *tokens = calloc(q.n_choices + 1, sizeof *tokens), open;
    q.prompt_tokens = read_ids(json_object_get(request, "prompt"), &prompt, 0);
    for (size_t c = 0; c < q.n_choices; c++) {
        tokens[c] = (uint32_t)json_array_size(json_array_get(choices, c));
        q.answer_tokens = read_ids(json_array_get(choices, c), &ids, q.answer_tokens);
    }
    q.prompt = prompt;
    q.answer = ids;
    q.choices = tokens;
    struct span_scratch scratch = {0};
    struct err e;
    size_t n;
    if (span_attribute(x, s, &q, &scratch, spans, SPAN_MAX_ANSWER, &n, &open, &e))
        stop(&e);
    printf("{\"spans\":[");
    for (size_t i = 0; i < n; i++)
        printf("%s[%u,%u,%u,%u,%u]", i ? "," : "", spans[i].start, spans[i].tokens, spans[i].document, spans[i].offset,
               spans[i].millibits);
    printf("],\"open\":%u}\n", open);
    span_scratch_deinit(&scratch);
    free(prompt);
    free(ids);
    free(tokens);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: span_dump FOLDER TAU\n"), 2;
    struct span_index *x;
    struct surprisal s;
    struct err e;
    char path[PATH_MAX], *line = NULL;
    size_t room = 0;
    if (policy_path(argv[1], POLICY_INDEX_FILE, path, &e) || span_index_open(path, NULL, &x, &e) ||
        policy_path(argv[1], POLICY_SURPRISAL_FILE, path, &e) || surprisal_load(path, NULL, &s, &e))
        stop(&e);
    while (getline(&line, &room, stdin) > 0) {
        json_t *request = json_loads(line, 0, NULL);
        answer(x, &s, (uint32_t)strtoul(argv[2], NULL, 10), request);
        json_decref(request);
    }
    free(line);
    surprisal_deinit(&s);
    span_index_close(x);
    return 0;
}
