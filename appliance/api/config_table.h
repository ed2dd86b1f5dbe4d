/* The table of settings and the sources that fill them. Only the configuration's own files include this. */
#ifndef OPENLORA_API_CONFIG_TABLE_H
#define OPENLORA_API_CONFIG_TABLE_H

#include "api/config.h"

enum setting_kind { S_INT, S_BOOL, S_TEXT, S_LIST, S_PAIR };

struct setting {
    const char *section, *key; /* of the INI file; key NULL: any key, which becomes a pair's name */
    const char *flag;          /* without its dashes */
    enum setting_kind kind;
    size_t offset;             /* in struct config */
    int64_t min, max;
    const char *argument, *help;
    const char *fallback;      /* the default as text, or NULL */
};

extern const struct setting settings[];
extern const int n_settings;

/* name: of a pair whose value stands alone (INI); NULL: value is "name=value" (flag). */
int setting_apply(const struct setting *, const char *name, const char *value, struct config *, struct err *);

int config_find_file(int argc, char **argv, char *const *environment, const char **file, struct err *);
int config_read_file(const char *path, struct config *, struct err *);
int config_read_environment(char *const *environment, struct config *, struct err *);
int config_read_flags(int argc, char **argv, struct config *, struct err *);

#endif
