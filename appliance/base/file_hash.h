/* SHA-256 of a file's contents, remembered between runs.
 *
 * Digests are cached in ${XDG_CACHE_HOME:-~/.cache}/openlora/hashes under the file's path, device, inode, size,
 * and times of change, so that a large model is hashed once. Without a usable cache folder the file is simply
 * hashed again. */
#ifndef OPENLORA_BASE_FILE_HASH_H
#define OPENLORA_BASE_FILE_HASH_H

#include "base/err.h"
#include "base/sha256.h"

int file_hash(const char *path, char out[SHA256_HEX_BYTES], struct err *e) __attribute__((warn_unused_result));

#endif
