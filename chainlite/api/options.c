/* chainlited's settings: one table for INI file, flags and --help. */
#include "chainlite/api/options.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "config"

enum kind { K_INT, K_BOOL, K_TEXT, K_WEI, K_URL };

struct setting {
    const char *section, *key; /* section "": a flag only */
    enum kind kind;
    size_t offset;
    int64_t min, max;
    const char *argument, *fallback, *help;
};

#define AT(field) offsetof(struct options, field)
static const struct setting settings[] = {
    {"node", "state_dir", K_TEXT, AT(state_dir), 0, 0, "DIR", "chainlite-state", "keys, outbox and bodies of batches"},
    {"node", "socket", K_TEXT, AT(socket), 0, 0, "PATH", NULL, "Unix socket; default: STATE_DIR/chainlited.sock"},
    {"node", "allowed_uid", K_INT, AT(allowed_uid), -1, UINT32_MAX, "UID", "-1",
     "user that may speak on the socket besides us and root"},
    {"node", "catalog", K_TEXT, AT(catalog), 0, 0, "FILE", NULL, "rows of the registry; default: STATE_DIR/catalog.json"},
    {"node", "passphrase_file", K_TEXT, AT(passphrase_file), 0, 0, "FILE", NULL,
     "opens the keys; default: STATE_DIR/passphrase, made at the first start; a systemd credential openlora-key wins"},
    {"node", "threads", K_INT, AT(threads), 1, 64, "N", "4", "threads that answer requests"},
    {"node", "min_free_mb", K_INT, AT(min_free_mb), 1, 1 << 30, "MB", "64",
     "with less free space no new answer is promised"},
    {"node", "reservation_s", K_INT, AT(reservation_s), 60, 604800, "S", "86400",
     "a reservation that nobody records ends after this time"},
    {"node", "log_level", K_TEXT, AT(log_level), 0, 0, "LEVEL", "info", "debug, info, warn, error, quiet"},
    {"chain", "chain", K_TEXT, AT(chain), 0, 0, "FILE", NULL, "chain file, or the name of one that comes with this"},
    {"chain", "rpc", K_URL, AT(rpc), 0, 0, "URL", NULL, "JSON-RPC endpoint (repeatable)"},
    {"chain", "quorum", K_INT, AT(quorum), 1, OPTIONS_MAX_URLS, "K", "1", "endpoints that must agree"},
    {"chain", "max_head_age_s", K_INT, AT(max_head_age_s), 0, 86400, "S", "60",
     "an older newest block is stale; 0: not checked"},
    {"chain", "max_proof_age_s", K_INT, AT(max_proof_age_s), 1, 86400, "S", "60",
     "payers' escrows proven longer ago count as unproven"},
    {"chain", "no_chain", K_BOOL, AT(no_chain), 0, 0, "", "no", "no chain: receipts wait in the outbox"},
    {"batch", "batch_receipts", K_INT, AT(batch_receipts), 1, 16384, "N", "8192", "a batch closes with so many receipts,"},
    {"batch", "batch_age_s", K_INT, AT(batch_age_s), 0, 86400, "S", "600", "or when its oldest is so old,"},
    {"batch", "batch_value_wei", K_WEI, AT(batch_value_wei), 0, 0, "WEI", "0", "or with so much to collect; 0: no such limit"},
    {"batch", "open_epochs", K_BOOL, AT(open_epochs), 0, 0, "", "yes", "open the first epoch, and a new one if the outbox was lost"},
    {"batch", "finalise", K_BOOL, AT(finalise), 0, 0, "", "yes", "free the bond behind batches whose window has passed"},
    {"limits", "daily_gas_wei", K_WEI, AT(daily_gas_wei), 0, 0, "WEI", "10000000000000000",
     "most that this node's transactions may cost on a day; 0: no limit"},
    {"limits", "max_gas_price_wei", K_WEI, AT(max_gas_price_wei), 0, 0, "WEI", "50000000000", "above it transactions wait"},
    {"limits", "max_tip_wei", K_WEI, AT(max_tip_wei), 0, 0, "WEI", "2000000000", "most for the sequencer, per gas"},
    {"limits", "tenant_daily_cap_wei", K_WEI, AT(tenant_daily_cap_wei), 0, 0, "WEI", "0",
     "most that a wallet held here pays for one tenant on a day; 0: no limit"},
    {"limits", "max_exposure_wei", K_WEI, AT(max_exposure_wei), 0, 0, "WEI", "1000000000000000",
     "served to one payer while the chain cannot be asked"},
    {"", "import", K_TEXT, AT(import_key), 0, 0, "node|operator|wallet", NULL, "take a key from --file and exit"},
    {"", "file", K_TEXT, AT(import_file), 0, 0, "FILE", NULL, "Ethereum keystore file (version 3)"},
    {"", "export", K_TEXT, AT(export_key), 0, 0, "node|operator", NULL, "write such a file to standard output and exit"},
    {"", "password_file", K_TEXT, AT(password_file), 0, 0, "FILE", NULL, "its password: the file's first line"},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

/* ---- one value */

static int set_text(char **to, const char *value, struct err *e)
{
    char *copy = strdup(value);
    if (!copy)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the configuration");
    free(*to);
    *to = copy;
    return 0;
}

static int set_bool(bool *to, const char *value, struct err *e)
{
    bool yes = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    bool no = strcmp(value, "no") == 0 || strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
    *to = yes;
    return yes || no ? 0 : err_set(e, OL_EINVAL, MODULE, "'%.40s' is neither yes nor no", value);
}

static int set_int(const struct setting *s, int64_t *to, const char *value, struct err *e)
{
    char *end;
    errno = 0;
    long long x = strtoll(value, &end, 10);
    if (end == value || *end || errno || x < s->min || x > s->max)
        return err_set(e, OL_EINVAL, MODULE, "'%.40s' is not a number from %" PRId64 " to %" PRId64, value, s->min, s->max);
    *to = x;
    return 0;
}

static int apply(const struct setting *s, const char *value, struct options *o, struct err *e)
{
    void *to = (char *)o + s->offset;
    if (!*value)
        return err_set(e, OL_EINVAL, MODULE, "the value is empty");
    switch (s->kind) {
    case K_TEXT: return set_text(to, value, e);
    case K_BOOL: return set_bool(to, value, e);
    case K_INT: return set_int(s, to, value, e);
    case K_WEI:
        return wei_parse(value, to) ? 0 : err_set(e, OL_EINVAL, MODULE, "'%.40s' is not an amount of wei", value);
    case K_URL:
        if (o->n_rpc == OPTIONS_MAX_URLS)
            return err_set(e, OL_EINVAL, MODULE, "more than %d endpoints", OPTIONS_MAX_URLS);
        return set_text(&o->rpc[o->n_rpc++], value, e);
    }
    return 0;
}

/* ---- sources */

struct reading {
    struct options *options;
    struct err *e;
};

static int on_setting(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    for (int i = 0; i < N_SETTINGS; i++)
        if (*settings[i].section && strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
            return apply(&settings[i], value, r->options, r->e) == 0;
    err_set(r->e, OL_EINVAL, MODULE, "unknown setting '%.40s' in [%.40s]; --help lists all", key, section);
    return 0;
}

static int read_file(const char *path, struct options *o, struct err *e)
{
    struct reading r = {o, e};
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(e, OL_EIO, MODULE, "opening %.160s: %s", path, strerror(errno));
    int line = ini_parse_file(file, on_setting, &r);
    fclose(file);
    if (line > 0 && !e->code)
        return err_set(e, OL_EINVAL, MODULE, "%.160s:%d: not a section, a setting or a comment", path, line);
    return e->code ? err_prefix(e, "%.120s:%d", path, line) : line < 0 ? err_set(e, OL_ENOMEM, MODULE, "no memory") : 0;
}

/* --state-dir for state_dir; *value: what follows '='. */
static bool flag_is(const char *word, const char *key, const char **value)
{
    size_t n = strlen(key);
    if (strncmp(word, "--", 2) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (word[2 + i] != (key[i] == '_' ? '-' : key[i]))
            return false;
    *value = word[2 + n] == '=' ? word + 3 + n : NULL;
    return word[2 + n] == '\0' || word[2 + n] == '=';
}

static bool *action(const char *word, struct options *o)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ? &o->help
           : strcmp(word, "--version") == 0                       ? &o->version
           : strcmp(word, "--check-config") == 0                  ? &o->check
           : strcmp(word, "--crash-points") == 0                  ? &o->crash_points
                                                                  : NULL;
}

static int apply_flag(int argc, char **argv, int *i, struct options *o, struct err *e)
{
    const char *value;
    bool *switched = action(argv[*i], o);
    if (switched) {
        *switched = true;
        return 0;
    }
    if (flag_is(argv[*i], "config", &value)) { /* read before */
        *i += value == NULL;
        return 0;
    }
    for (int k = 0; k < N_SETTINGS; k++) {
        const char *word = argv[*i];
        if (!flag_is(word, settings[k].key, &value))
            continue;
        if (!value)
            value = settings[k].kind == K_BOOL ? "yes" : *i + 1 < argc ? argv[++*i] : "";
        return apply(&settings[k], value, o, e) == 0 ? 0 : err_prefix(e, "%.40s", word);
    }
    return err_set(e, OL_EINVAL, MODULE, "unknown flag '%.60s'; --help lists all", argv[*i]);
}

static int set_default_path(char **to, const struct options *o, const char *name, struct err *e)
{
    char path[4096];
    if (*to)
        return 0;
    if (snprintf(path, sizeof path, "%s/%s", o->state_dir, name) >= (int)sizeof path)
        return err_set(e, OL_EINVAL, MODULE, "state_dir is too long");
    return set_text(to, path, e);
}

static int complete(struct options *o, struct err *e)
{
    int rc = set_default_path(&o->socket, o, "chainlited.sock", e);
    rc = rc ? rc : set_default_path(&o->catalog, o, "catalog.json", e);
    rc = rc ? rc : set_default_path(&o->passphrase_file, o, "passphrase", e);
    if (rc != 0 || o->help || o->version || o->crash_points || o->import_key || o->export_key)
        return rc;
    if (!o->no_chain && (!o->chain || o->n_rpc == 0))
        return err_set(e, OL_EINVAL, MODULE, "a chain file and an endpoint are needed (--chain, --rpc), or --no-chain");
    if (!o->no_chain && o->quorum > o->n_rpc)
        return err_set(e, OL_EINVAL, MODULE, "a quorum of %" PRId64 " needs as many endpoints (--rpc); there are %d", o->quorum,
                       o->n_rpc);
    return 0;
}

int options_load(int argc, char **argv, struct options *out, struct err *e)
{
    const char *value;
    int rc = 0;
    *out = (struct options){0};
    *e = (struct err){0};
    for (int i = 0; rc == 0 && i < N_SETTINGS; i++)
        rc = settings[i].fallback ? apply(&settings[i], settings[i].fallback, out, e) : 0;
    for (int i = 1; rc == 0 && i < argc; i++)
        if (flag_is(argv[i], "config", &value)) {
            if (!value && i + 1 == argc)
                return err_set(e, OL_EINVAL, MODULE, "--config wants a value: FILE");
            rc = read_file(value ? value : argv[i + 1], out, e);
        }
    for (int i = 1; rc == 0 && i < argc; i++)
        rc = apply_flag(argc, argv, &i, out, e);
    return rc ? rc : complete(out, e);
}

void options_deinit(struct options *o)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (settings[i].kind == K_TEXT)
            free(*(char **)((char *)o + settings[i].offset));
    for (int i = 0; i < o->n_rpc; i++)
        free(o->rpc[i]);
    *o = (struct options){0};
}

/* ---- text */

void options_help(FILE *out)
{
    const char *section = "?";
    fprintf(out, "chainlited: signs what openlorad served, keeps it, and settles it on a chain.\n\n"
                 "usage: chainlited [--config FILE] [flags]\n\n"
                 "  --check-config   print the resulting configuration and exit\n"
                 "  --crash-points   names for OPENLORA_CRASH_AT=name:count, which ends the process there (for tests)\n"
                 "  --version, --help\n");
    for (int i = 0; i < N_SETTINGS; i++) {
        const struct setting *s = &settings[i];
        char flag[64];
        if (strcmp(section, s->section) != 0)
            fprintf(out, *s->section ? "\n[%s]\n" : "\nkeys%s\n", section = s->section);
        snprintf(flag, sizeof flag, "--%s %s", s->key, s->argument);
        for (char *c = flag; *c && *c != ' '; c++)
            *c = *c == '_' ? '-' : *c;
        fprintf(out, "  %-32s %s", flag, s->help);
        fprintf(out, s->fallback ? " [%s]\n" : "\n", s->fallback);
    }
}

void options_print(const struct options *o, FILE *out)
{
    const char *section = "";
    for (int i = 0; i < N_SETTINGS && *settings[i].section; i++) {
        const struct setting *s = &settings[i];
        const void *at = (const char *)o + s->offset;
        char wei[WEI_TEXT_BYTES];
        if (strcmp(section, s->section) != 0)
            fprintf(out, "%s[%s]\n", *section ? "\n" : "", s->section);
        section = s->section;
        if (s->kind == K_INT)
            fprintf(out, "%s = %" PRId64 "\n", s->key, *(const int64_t *)at);
        if (s->kind == K_BOOL)
            fprintf(out, "%s = %s\n", s->key, *(const bool *)at ? "yes" : "no");
        if (s->kind == K_TEXT && *(char *const *)at)
            fprintf(out, "%s = %s\n", s->key, *(char *const *)at);
        if (s->kind == K_WEI)
            wei_format(*(const wei_t *)at, wei), fprintf(out, "%s = %s\n", s->key, wei);
        for (int k = 0; s->kind == K_URL && k < o->n_rpc; k++)
            fprintf(out, "%s = %s\n", s->key, o->rpc[k]);
    }
}
