/* A file's new content, whole or not at all: after a crash the name holds the old bytes or the new ones. */
#ifndef OPENLORA_BASE_FILE_REPLACE_H
#define OPENLORA_BASE_FILE_REPLACE_H

#include "base/err.h"

#include <stddef.h>

/* Written beside `path`, synced, renamed. OL_EIO names the path. */
int file_replace(const char *path, const void *bytes, size_t n, struct err *) __attribute__((warn_unused_result));

#endif
