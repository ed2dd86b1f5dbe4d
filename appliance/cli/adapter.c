/* openlora adapter: list, load, unload, pin and unpin a node's adapters. */
#include "cli/commands.h"
#include "cli/http_client.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adapter_args {
    const char *url, *key;
    bool replace, force, pin, json;
};

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, "adapter", "no memory for the request"); }

static void print_list(const json_t *list)
{
    json_t *a;
    size_t i;
    printf("%-24s %5s %10s %-9s %8s  %s\n", "NAME", "RANK", "BYTES", "STATE", "REQUESTS", "PATH");
    json_array_foreach(list, i, a)
    {
        const char *name = json_string_value(json_object_get(a, "name"));
        const char *path = json_string_value(json_object_get(a, "path"));
        const char *state = json_is_true(json_object_get(a, "in_pages")) ? "in pages"
                            : json_is_true(json_object_get(a, "in_host")) ? "in memory"
                                                                          : "on disk";
        printf("%-24s %5lld %10lld %-9s %8lld  %s%s\n", name ? name : "?",
               (long long)json_integer_value(json_object_get(a, "rank")),
               (long long)json_integer_value(json_object_get(a, "bytes")), state,
               (long long)json_integer_value(json_object_get(a, "requests")), path ? path : "",
               json_is_true(json_object_get(a, "pinned")) ? " (pinned)" : "");
    }
}

static int list(struct http_client *http, const struct adapter_args *a, struct err *e)
{
    json_t *reply;
    int rc = http_json(http, "GET", "/v1/adapters", NULL, &reply, e);
    if (rc)
        return rc;
    if (a->json) {
        json_dumpf(reply, stdout, 0);
        putchar('\n');
    } else {
        print_list(json_object_get(reply, "data"));
    }
    json_decref(reply);
    return OL_OK;
}

/* One request about one adapter; prints its answer. */
static int send(struct http_client *http, const struct adapter_args *a, const char *method, const char *name,
                json_t *body, const char *done, struct err *e)
{
    char *path = http_path(http, "/v1/adapters/", name), *reply = NULL;
    if (path && a->force && !strcmp(method, "DELETE")) {
        char *forced = realloc(path, strlen(path) + sizeof "?force=true");
        if (forced)
            memcpy(forced + strlen(forced), "?force=true", sizeof "?force=true");
        else
            free(path);
        path = forced;
    }
    int rc = path ? http_request(http, method, path, body, &reply, e) : no_memory(e);
    if (!rc && a->json)
        puts(reply);
    else if (!rc)
        printf("%s %s\n", name, done);
    free(reply);
    free(path);
    json_decref(body);
    return rc;
}

/* The node reads the files, so it gets an absolute path. */
static int load(struct http_client *http, const struct adapter_args *a, const char *name, const char *path,
                struct err *e)
{
    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return err_set(e, OL_ENOTFOUND, "adapter", "%s: no such file or directory", path);
    json_t *body = json_pack("{ss sb sb}", "path", absolute, "replace", a->replace, "pinned", a->pin);
    return body ? send(http, a, "PUT", name, body, "loaded", e) : no_memory(e);
}

static int act(struct http_client *http, const struct adapter_args *a, char **word, int n, struct err *e)
{
    const char *verb = word[0];
    if (n == 1 && !strcmp(verb, "list"))
        return list(http, a, e);
    if (n == 3 && !strcmp(verb, "load"))
        return load(http, a, word[1], word[2], e);
    if (n == 2 && !strcmp(verb, "unload"))
        return send(http, a, "DELETE", word[1], NULL, "unloaded", e);
    bool pin = !strcmp(verb, "pin");
    return send(http, a, "PUT", word[1], json_pack("{sb}", "pinned", pin), pin ? "pinned" : "unpinned", e);
}

/* How many words a verb wants, itself included; 0: no such verb. */
static int verb_words(const char *verb)
{
    static const struct {
        const char *verb;
        int words;
    } verbs[] = {{"list", 1}, {"load", 3}, {"unload", 2}, {"pin", 2}, {"unpin", 2}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verb, verbs[i].verb))
            return verbs[i].words;
    return 0;
}

int command_adapter(const struct command *command, int argc, char **argv)
{
    struct adapter_args a = {.url = http_node_url(NULL)};
    const struct option options[] = {
        TEXT("url", &a.url, "URL", "the node"),
        TEXT("key", &a.key, "KEY", "API key with the role admin (default: $OPENLORA_API_KEY)"),
        FLAG("replace", &a.replace, "load: replace an adapter of that name"),
        FLAG("pin", &a.pin, "load: never drop it from memory"),
        FLAG("force", &a.force, "unload: cancel the requests that use it"),
        FLAG("json", &a.json, "print the node's JSON answer"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 3);
    if (words < 0)
        return options_exit(words);
    int wanted = words ? verb_words(argv[1]) : 0;
    if (!wanted || wanted != words)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    struct err e = {0};
    struct http_client *http = NULL;
    int rc = http_open(a.url, &http, &e);
    if (!rc)
        rc = http_use_key(http, a.key, &e);
    if (!rc)
        rc = act(http, &a, argv + 1, words, &e);
    http_close(http);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
