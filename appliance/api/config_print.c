/* --help and --check-config, from the table of settings. */
#include "api/config_table.h"

#include <inttypes.h>
#include <string.h>

void config_help(FILE *out)
{
    const char *section = "";
    fprintf(out, "openlorad: serves a language model and many LoRA adapters behind an OpenAI API on 127.0.0.1.\n\n"
                 "usage: openlorad --model PATH [flags]\n\n"
                 "  --config PATH                    INI file (also OPENLORA_CONFIG); flags win over the environment,\n"
                 "                                   which wins over the file\n"
                 "  --check-config                   print the resulting configuration and exit\n"
                 "  --version, --help\n");
    for (int i = 0; i < n_settings; i++) {
        const struct setting *s = &settings[i];
        char flag[64];
        if (strcmp(section, s->section) != 0)
            fprintf(out, "\n[%s]\n", section = s->section);
        snprintf(flag, sizeof flag, s->kind == S_BOOL ? "--%s, --no-%s" : "--%s %s", s->flag,
                 s->kind == S_BOOL ? s->flag : s->argument);
        fprintf(out, "  %-32s %s", flag, s->help);
        if (s->fallback)
            fprintf(out, " [%s]", s->fallback);
        fprintf(out, "\n  %-32s %s = %s\n", "", s->key ? s->key : "NAME", s->key ? s->argument : "PATH");
    }
    fprintf(out, "\nEnvironment: OPENLORA_ and the flag's name in capitals, for example OPENLORA_MAX_SEQS=32.\n");
}

void config_print(const struct config *c, FILE *out)
{
    const char *section = "";
    for (int i = 0; i < n_settings; i++) {
        const struct setting *s = &settings[i];
        const void *at = (const char *)c + s->offset;
        const struct config_list *list = at;
        const struct config_pairs *pairs = at;
        if (strcmp(section, s->section) != 0)
            fprintf(out, "%s[%s]\n", *section ? "\n" : "", s->section);
        section = s->section;
        if (s->kind == S_INT)
            fprintf(out, "%s = %" PRId64 "\n", s->key, *(const int64_t *)at);
        if (s->kind == S_BOOL)
            fprintf(out, "%s = %s\n", s->key, *(const bool *)at ? "yes" : "no");
        if (s->kind == S_TEXT && *(char *const *)at)
            fprintf(out, "%s = %s\n", s->key, *(char *const *)at);
        for (int k = 0; s->kind == S_LIST && k < list->n; k++)
            fprintf(out, "%s = %s\n", s->key, list->items[k]);
        for (int k = 0; s->kind == S_PAIR && k < pairs->n; k++)
            fprintf(out, "%s = %s\n", pairs->items[k].name, pairs->items[k].value);
    }
}
