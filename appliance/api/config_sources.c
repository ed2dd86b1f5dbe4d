/* Where settings come from: INI file, environment, flags. */
#include "api/config_table.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <string.h>

enum { LINE_BYTES = 4096 };

/* ---- INI file. inih's handler is not told the line, so our reader counts. */

struct reading {
    FILE *file;
    const char *path;
    int line;
    struct config *config;
    struct err *e;
};

static char *read_line(char *to, int max, void *user)
{
    struct reading *r = user;
    if (r->e->code || !fgets(to, max, r->file))
        return NULL;
    r->line++;
    size_t n = strlen(to);
    if (n + 1 == (size_t)max && to[n - 1] != '\n') {
        err_set(r->e, OL_EINVAL, "config", "%.120s:%d: the line is longer than %d bytes", r->path, r->line, max - 1);
        return NULL;
    }
    return to;
}

static int on_setting(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    for (int i = 0; i < n_settings; i++) {
        const struct setting *s = &settings[i];
        if (strcmp(s->section, section) != 0 || (s->key && strcmp(s->key, key) != 0))
            continue;
        if (setting_apply(s, s->key ? NULL : key, value, r->config, r->e) == 0)
            return 1;
        err_prefix(r->e, "%.120s:%d: %s", r->path, r->line, key);
        return 0;
    }
    err_set(r->e, OL_EINVAL, "config", "%.120s:%d: unknown setting '%.40s' in [%.40s]; --help lists all", r->path,
            r->line, key, section);
    return 0;
}

int config_read_file(const char *path, struct config *c, struct err *e)
{
    struct reading r = {.file = fopen(path, "re"), .path = path, .config = c, .e = e};
    if (!r.file)
        return err_set(e, OL_EIO, "config", "opening %.160s: %s", path, strerror(errno));
    ini_use_stack = false; /* inih's knobs are global; nothing else in this process uses it */
    ini_max_line = ini_initial_alloc = LINE_BYTES;
    ini_allow_multiline = false;
    int line = ini_parse_stream(read_line, &r, on_setting, &r); /* of the first error, ours included */
    fclose(r.file);
    if (line < 0)
        return err_set(e, OL_ENOMEM, "config", "no memory to read %.160s", path);
    if (line > 0 && (!e->code || line < r.line))
        return err_set(e, OL_EINVAL, "config", "%.160s:%d: not a section, a setting or a comment", path, line);
    return e->code;
}

/* ---- environment */

/* OPENLORA_MAX_SEQS for "max-seqs" */
static bool variable_is(const char *variable, size_t len, const char *flag)
{
    static const char prefix[] = "OPENLORA_";
    size_t n = sizeof prefix - 1;
    if (len != n + strlen(flag) || strncmp(variable, prefix, n) != 0)
        return false;
    for (size_t i = n; i < len; i++)
        if (variable[i] != (flag[i - n] == '-' ? '_' : toupper((unsigned char)flag[i - n])))
            return false;
    return true;
}

int config_read_environment(char *const *environment, struct config *c, struct err *e)
{
    for (; environment && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        for (int i = 0; equals && i < n_settings; i++) {
            if (!variable_is(*environment, (size_t)(equals - *environment), settings[i].flag))
                continue;
            if (setting_apply(&settings[i], NULL, equals + 1, c, e) != 0)
                return err_prefix(e, "%.*s", (int)(equals - *environment), *environment);
        }
    }
    return 0;
}

/* ---- flags: --name value, --name=value; --name and --no-name for what is yes or no */

struct flag {
    const char *name;
    size_t len;
    const char *value; /* NULL: the next word, if it takes one */
};

static bool split_flag(const char *word, struct flag *f)
{
    if (strncmp(word, "--", 2) != 0 || !word[2])
        return false;
    const char *equals = strchr(word, '=');
    f->name = word + 2;
    f->len = equals ? (size_t)(equals - f->name) : strlen(f->name);
    f->value = equals ? equals + 1 : NULL;
    return true;
}

static bool flag_is(const struct flag *f, const char *name)
{
    return strlen(name) == f->len && strncmp(f->name, name, f->len) == 0;
}

static bool *action(const struct flag *f, struct config *c)
{
    return flag_is(f, "help")           ? &c->help
           : flag_is(f, "version")      ? &c->version
           : flag_is(f, "check-config") ? &c->check
                                        : NULL;
}

/* Applies one flag; *used_next if the next word was its value. */
static int apply_flag(const struct flag *f, const char *next, struct config *c, bool *used_next, struct err *e)
{
    for (int i = 0; i < n_settings; i++) {
        const struct setting *s = &settings[i];
        bool negated = s->kind == S_BOOL && f->len > 3 && strncmp(f->name, "no-", 3) == 0 &&
                       flag_is(&(struct flag){f->name + 3, f->len - 3, NULL}, s->flag);
        if (!negated && !flag_is(f, s->flag))
            continue;
        const char *value = negated ? "no" : f->value;
        if (!value && s->kind == S_BOOL)
            value = "yes";
        *used_next = !value;
        value = value ? value : next;
        if (!value)
            return err_set(e, OL_EINVAL, "config", "--%s wants a value: %s", s->flag, s->argument);
        return setting_apply(s, NULL, value, c, e) == 0 ? 0 : err_prefix(e, "--%s", s->flag);
    }
    return err_set(e, OL_EINVAL, "config", "unknown flag --%.*s; --help lists all", (int)(f->len < 60 ? f->len : 60),
                   f->name);
}

int config_read_flags(int argc, char **argv, struct config *c, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        struct flag f;
        bool used_next = false;
        if (strcmp(argv[i], "-h") == 0) {
            c->help = true;
            continue;
        }
        if (!split_flag(argv[i], &f))
            return err_set(e, OL_EINVAL, "config", "unexpected word '%.60s'; --help lists the flags", argv[i]);
        bool *switched = action(&f, c);
        if (switched) {
            *switched = true;
        } else if (flag_is(&f, "config")) { /* read by config_find_file */
            used_next = !f.value;
        } else {
            int rc = apply_flag(&f, i + 1 < argc ? argv[i + 1] : NULL, c, &used_next, e);
            if (rc != 0)
                return rc;
        }
        i += used_next;
    }
    return 0;
}

int config_find_file(int argc, char **argv, char *const *environment, const char **file, struct err *e)
{
    for (; environment && *environment; environment++)
        if (strncmp(*environment, "OPENLORA_CONFIG=", 16) == 0 && (*environment)[16])
            *file = *environment + 16;
    for (int i = 1; i < argc; i++) {
        struct flag f;
        if (!split_flag(argv[i], &f) || !flag_is(&f, "config"))
            continue;
        *file = f.value ? f.value : i + 1 < argc ? argv[i + 1] : NULL;
        if (!*file)
            return err_set(e, OL_EINVAL, "config", "--config wants a value: PATH");
    }
    return 0;
}
