/* The model's own chat template: a small interpreter of the Jinja subset that real templates use, with limits on
 * steps, nesting and output. Compiled once, rendered from any thread. */
#ifndef OPENLORA_MODEL_CHAT_TEMPLATE_H
#define OPENLORA_MODEL_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

struct chat_template;

int chat_template_compile(const char *source, struct chat_template **out, struct err *e)
    __attribute__((warn_unused_result));
void chat_template_free(struct chat_template *);

/* Renders with `variables` (a JSON object: messages, tools, add_generation_prompt, bos_token, eos_token, …) into
 * `out`. An exception raised by the template (raise_exception) is OL_EINVAL with its text. */
int chat_template_render(const struct chat_template *, const json_t *variables, struct buf *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
