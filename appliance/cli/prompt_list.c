#include "cli/prompt_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "prompts"

static int add(struct prompt_list *l, const char *line, struct err *e)
{
    char **grown = realloc(l->at, (l->n + 1) * sizeof *grown);
    if (grown) {
        l->at = grown;
        l->at[l->n] = strdup(line);
    }
    if (!grown || !l->at[l->n])
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu prompts", l->n + 1);
    l->n++;
    return OL_OK;
}

int prompt_list_load(const char *path, size_t most, struct prompt_list *out, struct err *e)
{
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    int rc = OL_OK;
    *out = (struct prompt_list){0};
    if (!in)
        return err_set(e, OL_ENOTFOUND, MODULE, "%s: %s", path, strerror(errno));
    while (!rc && out->n < most && getline(&line, &room, in) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " \t")])
            rc = add(out, line, e);
    }
    free(line);
    fclose(in);
    if (!rc && most && out->n == 0)
        rc = err_set(e, OL_EFORMAT, MODULE, "%s has no prompts", path);
    if (rc)
        prompt_list_free(out);
    return rc;
}

void prompt_list_free(struct prompt_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i]);
    free(l->at);
    *l = (struct prompt_list){0};
}
