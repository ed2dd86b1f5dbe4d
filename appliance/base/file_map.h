/* A whole file mapped read-only. The mapping follows the file: a file that another process cuts short while it is
 * mapped faults on access, as with every mapped model format; models are files that are replaced, not edited. */
#ifndef OPENLORA_BASE_FILE_MAP_H
#define OPENLORA_BASE_FILE_MAP_H

#include "base/err.h"

#include <stddef.h>

struct file_map {
    const unsigned char *data; /* owned mapping; NULL after deinit */
    size_t len;                /* > 0 */
};

/* Maps a regular, non-empty file. The error names the path. */
int file_map_init(struct file_map *m, const char *path, struct err *e) __attribute__((warn_unused_result));
void file_map_deinit(struct file_map *m);

/* The pages of [from, from + len) are not needed for now: they leave this process, the data stays readable. */
void file_map_drop(const struct file_map *m, const void *from, size_t len);

#endif
