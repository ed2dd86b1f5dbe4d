/* Files that hold one struct as JSON (notation.h). */
#ifndef OPENLORA_JSON_NOTATION_FILE_H
#define OPENLORA_JSON_NOTATION_FILE_H

#include "chainlite/json/notation.h"

/* As notation_parse; messages name the file. OL_ENOTFOUND: there is none. OL_ELIMIT: larger than max_bytes. */
int notation_read_file(const struct schema *, const char *path, size_t max_bytes, void *out, struct err *)
    __attribute__((warn_unused_result));
/* Replaces the file in one step: after a crash it holds the old struct or the new one, whole. */
int notation_write_file(const struct schema *, const void *object, const char *path, size_t max_bytes, struct err *)
    __attribute__((warn_unused_result));

#endif
