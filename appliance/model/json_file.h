/* JSON documents of models and adapters: read with a size limit, and fields read with errors that name them. */
#ifndef OPENLORA_MODEL_JSON_FILE_H
#define OPENLORA_MODEL_JSON_FILE_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns owned (json_decref) an object; anything else in the file is OL_EFORMAT. */
int json_file_read(const char *path, size_t max_bytes, json_t **out, struct err *e) __attribute__((warn_unused_result));
/* The same from memory; `what` names it in messages. */
int json_text_read(const char *text, size_t len, const char *what, json_t **out, struct err *e)
    __attribute__((warn_unused_result));

/* Optional fields: absent and null leave *out as it is; another type or range is OL_EFORMAT with the key's name. */
int json_get_i32(const json_t *object, const char *key, int32_t *out, struct err *e)
    __attribute__((warn_unused_result));
int json_get_f64(const json_t *object, const char *key, double *out, struct err *e) __attribute__((warn_unused_result));
int json_get_bool(const json_t *object, const char *key, bool *out, struct err *e) __attribute__((warn_unused_result));
int json_get_text(const json_t *object, const char *key, const char **out, struct err *e)
    __attribute__((warn_unused_result)); /* borrows from object */

#endif
