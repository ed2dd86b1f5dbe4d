/* openlora ps: what a node is doing, from /readyz, /v1/models and /metrics. */
#include "cli/commands.h"
#include "cli/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Figures of /metrics worth a line; labels are ignored and samples of one name added up. */
static const struct {
    const char *metric, *key, *label;
} figures[] = {
    {"vllm:num_requests_running", "running", "requests running"},
    {"vllm:num_requests_waiting", "waiting", "requests waiting"},
    {"vllm:kv_cache_usage_perc", "pages_used", "pages in use (0 to 1)"},
    {"vllm:prompt_tokens_total", "prompt_tokens", "prompt tokens so far"},
    {"vllm:generation_tokens_total", "output_tokens", "output tokens so far"},
};

/* Sum of a metric's samples in Prometheus text; false if there is none. */
static bool metric_sum(const char *text, const char *name, double *sum)
{
    size_t len = strlen(name);
    bool found = false;
    *sum = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, name, len) || (line[len] != ' ' && line[len] != '{'))
            continue;
        const char *value = line + strcspn(line, " \n"), *brace = strchr(line, '}');
        const char *end = line + strcspn(line, "\n");
        if (line[len] == '{' && brace && brace < end)
            value = brace + 1;
        *sum += strtod(value, NULL);
        found = true;
    }
    return found;
}

/* {"ready": …, "models": [ids], figures …}; a new reference, or NULL with *e set. */
static json_t *collect(struct http_client *http, struct err *e)
{
    json_t *o = json_object(), *ready, *models, *names = json_array(), *entry;
    char *metrics = NULL;
    size_t i;
    if (!http_json(http, "GET", "/readyz", NULL, &ready, e)) {
        json_object_set_new(o, "node", ready);
        if (!http_json(http, "GET", "/v1/models", NULL, &models, e)) {
            json_array_foreach(json_object_get(models, "data"), i, entry)
                json_array_append(names, json_object_get(entry, "id"));
            json_decref(models);
        }
    }
    json_object_set_new(o, "models", names);
    if (e->code || http_request(http, "GET", "/metrics", NULL, &metrics, e)) {
        json_decref(o);
        return NULL;
    }
    for (i = 0; i < sizeof figures / sizeof *figures; i++) {
        double sum;
        if (metric_sum(metrics, figures[i].metric, &sum))
            json_object_set_new(o, figures[i].key, json_real(sum));
    }
    free(metrics);
    return o;
}

static void print_table(const json_t *o)
{
    const char *key;
    json_t *value;
    size_t i;
    json_object_foreach(json_object_get(o, "node"), key, value)
    {
        char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
        printf("%-22s %s\n", key, text ? text : "");
        free(text);
    }
    for (i = 0; i < sizeof figures / sizeof *figures; i++)
        if ((value = json_object_get(o, figures[i].key)))
            printf("%-22s %.6g\n", figures[i].label, json_real_value(value));
    json_array_foreach(json_object_get(o, "models"), i, value)
        printf("%-22s %s\n", i ? "" : "models", json_string_value(value));
}

int command_ps(const struct command *command, int argc, char **argv)
{
    const char *url = http_node_url(NULL);
    bool json = false;
    const struct option options[] = {TEXT("url", &url, "URL", "the node"), FLAG("json", &json, "print one JSON object"),
                                     OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    struct err e = {0};
    struct http_client *http = NULL;
    json_t *o = http_open(url, &http, &e) ? NULL : collect(http, &e);
    if (o && json) {
        json_dumpf(o, stdout, JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (o) {
        print_table(o);
    }
    http_close(http);
    int code = o ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
    json_decref(o);
    return code;
}
