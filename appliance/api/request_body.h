/* What routes that take a JSON body have in common. */
#ifndef OPENLORA_API_REQUEST_BODY_H
#define OPENLORA_API_REQUEST_BODY_H

#include "api/app.h"
#include "api/generation.h"

/* Parses the body (strictly: no duplicate keys, nothing behind it) and calls `answer`, which responds, waits, or
 * fails; a failure becomes the error response. The tree lives until `answer` returns. */
typedef int (*body_handler)(struct app *, struct http_request *, const json_t *body, struct api_error *);
void body_answer(struct app *, struct http_request *, body_handler answer);

/* The same for what is billed, or may need an API key: who is asking is known first. */
typedef int (*paid_handler)(struct app *, struct http_request *, const json_t *body, const struct caller *,
                            struct api_error *);
void paid_answer(struct app *, struct http_request *, paid_handler answer);

/* 404 model_not_found unless `model` is NULL, the base model or a registered adapter. */
int model_check(const struct app *, const char *model, struct api_error *e);

/* Appends the ids of text; special tokens written in it become their ids. context_length_exceeded as soon as they
 * cannot fit, without reading the rest. */
int prompt_encode(const struct app *, const char *text, size_t len, struct prompt *to, const char *param,
                  struct api_error *e);

#endif
