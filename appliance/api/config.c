/* The configuration's values, as config_table.c lists them: parsing one, checking its range, putting it in its place. */
#include "api/config.h"

#include "api/config_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, "config", "no memory for the configuration"); }

static int set_int(const struct setting *s, const char *value, int64_t *to, struct err *e)
{
    char *end;
    errno = 0;
    long long x = strtoll(value, &end, 10);
    if (end == value || *end || errno || x < s->min || x > s->max)
        return err_set(e, OL_EINVAL, "config", "'%.60s' is not a number from %" PRId64 " to %" PRId64, value, s->min,
                       s->max);
    *to = x;
    return 0;
}

static int set_bool(const char *value, bool *to, struct err *e)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0) {
            *to = i % 2;
            return 0;
        }
    return err_set(e, OL_EINVAL, "config", "'%.60s' is neither yes nor no", value);
}

static int set_text(const char *value, char **to, struct err *e)
{
    char *copy = strdup(value);
    if (!copy)
        return no_memory(e);
    free(*to);
    *to = copy;
    return 0;
}

static int add_item(struct config_list *list, const char *value, struct err *e)
{
    char **grown = realloc(list->items, (size_t)(list->n + 1) * sizeof *grown);
    if (!grown)
        return no_memory(e);
    list->items = grown;
    grown[list->n] = strdup(value);
    return grown[list->n] ? list->n++, 0 : no_memory(e);
}

static int add_pair(struct config_pairs *pairs, const char *name, size_t name_len, const char *value, struct err *e)
{
    struct config_pair *grown = realloc(pairs->items, (size_t)(pairs->n + 1) * sizeof *grown);
    if (!grown)
        return no_memory(e);
    pairs->items = grown;
    struct config_pair *p = &grown[pairs->n++];
    *p = (struct config_pair){strndup(name, name_len), strdup(value)};
    return p->name && p->value ? 0 : no_memory(e);
}

int setting_apply(const struct setting *s, const char *name, const char *value, struct config *c, struct err *e)
{
    void *to = (char *)c + s->offset;
    if (!*value)
        return err_set(e, OL_EINVAL, "config", "the value is empty");
    switch (s->kind) {
    case S_INT:
        return set_int(s, value, to, e);
    case S_BOOL:
        return set_bool(value, to, e);
    case S_TEXT:
        return set_text(value, to, e);
    case S_LIST:
        return add_item(to, value, e);
    case S_PAIR:
        break;
    }
    if (name)
        return add_pair(to, name, strlen(name), value, e);
    const char *equals = strchr(value, '=');
    if (!equals || equals == value || !equals[1])
        return err_set(e, OL_EINVAL, "config", "'%.60s' is not NAME=PATH", value);
    return add_pair(to, value, (size_t)(equals - value), equals + 1, e);
}

static int apply_defaults(struct config *c, struct err *e)
{
    *c = (struct config){0};
    for (int i = 0; i < n_settings; i++)
        if (settings[i].fallback && setting_apply(&settings[i], NULL, settings[i].fallback, c, e) != 0)
            return e->code;
    return 0;
}

/* What the parts cannot see alone. */
static int check_whole(const struct config *c, struct err *e)
{
    if (!c->model)
        return err_set(e, OL_EINVAL, "config", "no model: give --model PATH, or path in [model]; see --help");
    if (!c->lora && (c->adapters.n || c->adapter_dirs.n))
        return err_set(e, OL_EINVAL, "config", "adapters are configured but [lora] enabled is no");
    return 0;
}

int config_load(int argc, char **argv, char *const *environment, struct config *out, struct err *e)
{
    struct err own = {0};
    e = e ? e : &own;
    const char *file = NULL;
    int rc = apply_defaults(out, e);
    if (rc == 0)
        rc = config_find_file(argc, argv, environment, &file, e);
    if (rc == 0 && file)
        rc = config_read_file(file, out, e);
    if (rc == 0)
        rc = config_read_environment(environment, out, e);
    if (rc == 0)
        rc = config_read_flags(argc, argv, out, e);
    if (rc == 0 && !out->help && !out->version)
        rc = check_whole(out, e);
    return rc;
}

void config_deinit(struct config *c)
{
    for (int i = 0; i < n_settings; i++) {
        void *at = (char *)c + settings[i].offset;
        struct config_list *list = at;
        struct config_pairs *pairs = at;
        if (settings[i].kind == S_TEXT)
            free(*(char **)at);
        for (int k = 0; settings[i].kind == S_LIST && k < list->n; k++)
            free(list->items[k]);
        for (int k = 0; settings[i].kind == S_PAIR && k < pairs->n; k++) {
            free(pairs->items[k].name);
            free(pairs->items[k].value);
        }
        if (settings[i].kind == S_LIST)
            free(list->items);
        if (settings[i].kind == S_PAIR)
            free(pairs->items);
    }
    *c = (struct config){0};
}
