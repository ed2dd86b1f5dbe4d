/* The template interpreter's public face. Lexer → parser (jinja_lex, jinja_parse*) make a tree once; a render walks it
 * (jinja_exec, jinja_eval) with values (jinja_value, jinja_text) that live until its end. */
#include "model/chat_template.h"

#include "model/jinja_eval.h"
#include "model/jinja_parse.h"
#include "model/utf8.h"

#include <stdlib.h>

struct chat_template {
    char *source; /* owned; the tree's texts point into it */
    struct arena memory;
    struct jinja_node *statements;
};

/* A copy with "\n" line ends and without the last one, as Jinja reads sources. */
static char *copy_source(const char *source, size_t *len)
{
    size_t n = strlen(source), k = 0;
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && source[i + 1] == '\n')
            continue;
        copy[k++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (k && copy[k - 1] == '\n')
        k--;
    copy[k] = 0;
    *len = k;
    return copy;
}

int chat_template_compile(const char *source, struct chat_template **out, struct err *e)
{
    *out = NULL;
    size_t len = strlen(source);
    if (len > JINJA_MAX_SOURCE_BYTES)
        return err_set(e, OL_ELIMIT, "template", "a chat template of %zu bytes, more than %d", len,
                       JINJA_MAX_SOURCE_BYTES);
    if (utf8_valid_prefix(source, len) < len)
        return err_set(e, OL_EFORMAT, "template", "the chat template is not UTF-8");
    struct chat_template *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, OL_ENOMEM, "template", "no memory for the chat template");
    arena_init(&t->memory, JINJA_MAX_MEMORY_BYTES);
    t->source = copy_source(source, &len);
    int rc = t->source ? jinja_parse((struct text){t->source, len}, &t->memory, &t->statements, e)
                       : err_set(e, OL_ENOMEM, "template", "no memory for the chat template");
    if (rc) {
        chat_template_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void chat_template_free(struct chat_template *t)
{
    if (!t)
        return;
    arena_deinit(&t->memory);
    free(t->source);
    free(t);
}

int chat_template_render(const struct chat_template *t, const json_t *variables, struct buf *out, struct err *e)
{
    struct jinja_run r = {.e = e, .out = out};
    arena_init(&r.memory, JINJA_MAX_MEMORY_BYTES);
    r.scope = jinja_push_scope(&r, NULL);
    struct jinja_value given = jinja_from_json(&r, variables);
    if (r.scope && given.type == JINJA_DICT && given.dict)
        r.scope->variables = *given.dict;
    r.scope = jinja_push_scope(&r, r.scope); /* what the template sets */
    if (!r.rc)
        jinja_exec(&r, t->statements);
    if (!r.rc && buf_failed(out))
        r.rc = err_set(e, OL_ELIMIT, "template", "the chat template's output is over %zu bytes", out->max_bytes);
    arena_deinit(&r.memory);
    return r.rc;
}
