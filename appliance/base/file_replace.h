/* A file's new content, whole or not at all: after a crash the name holds the old bytes or the new ones. */
#ifndef OPENLORA_BASE_FILE_REPLACE_H
#define OPENLORA_BASE_FILE_REPLACE_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Written beside `path`, synced, renamed. OL_EIO names the path. */
int file_replace(const char *path, const void *bytes, size_t n, struct err *) __attribute__((warn_unused_result));

/* The same of parts one after another, with these permissions (umask applies), by the only writer of this file: the
 * draft is PATH.part, so that what killed programs left is overwritten and never gathers. */
int file_replace_parts(const char *path, const struct iovec *parts, size_t n_parts, mode_t mode, struct err *)
    __attribute__((warn_unused_result));

/* Puts the names in the folder of `path` on the disk: after one was made or removed. */
int file_sync_folder(const char *path, struct err *) __attribute__((warn_unused_result));

#endif
