/* Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}} and a status. */
#ifndef OPENLORA_API_ERRORS_H
#define OPENLORA_API_ERRORS_H

#include "base/buf.h"
#include "base/err.h"
#include "http/request.h"

struct api_error {
    int status;        /* of the answer; 0 = no error */
    char param[96];    /* the parameter at fault, or empty */
    const char *code;  /* static, for programs ("context_length_exceeded"), or NULL */
    char message[480];
};

/* Fills *e and returns −1, so that `return api_fail(...)` reads as one step. param and code may be NULL. */
int api_fail(struct api_error *e, int status, const char *param, const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same from a library's error; its code chooses the status. */
int api_fail_err(struct api_error *e, const struct err *why, const char *param);

void api_error_json(const struct api_error *e, struct buf *out);
void api_error_respond(const struct api_error *e, struct http_request *);

#endif
