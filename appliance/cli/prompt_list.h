/* Files with one prompt a line; blank lines count for nothing. */
#ifndef OPENLORA_CLI_PROMPT_LIST_H
#define OPENLORA_CLI_PROMPT_LIST_H

#include "base/err.h"

#include <stddef.h>

struct prompt_list {
    char **at; /* (n) owned */
    size_t n;
};

/* The first `most` prompts. OL_EFORMAT: not one. */
int prompt_list_load(const char *path, size_t most, struct prompt_list *out, struct err *)
    __attribute__((warn_unused_result));
void prompt_list_free(struct prompt_list *);

#endif
