/* The body of a batch (docs/protocol.md §5): canonical JSON, written as a stream into a file that is named after its
 * SHA-256: FOLDER/<64 hex digits>.json. The file is complete and on disk before it has its name. */
#ifndef OPENLORA_SETTLE_BATCH_BODY_H
#define OPENLORA_SETTLE_BATCH_BODY_H

#include "base/buf.h"
#include "chainlite/settle/batch_trees.h"

/* batch: its header is whole but for submitted_at and body_hash, which the body does not have. previous: the batch before
 * if it is of the same epoch, else NULL: the statements of its receipts are listed. body_hash: out. */
int batch_body_write(const char *folder, struct outbox *, const struct row_source *, const struct outbox_batch *batch,
                     const struct outbox_batch *previous, const struct batch_trees *, uint8_t body_hash[32], struct err *)
    __attribute__((warn_unused_result));

/* Path of a body; returns out. */
enum { BODY_PATH_BYTES = 4096 };
const char *batch_body_path(const char *folder, const uint8_t body_hash[32], char out[BODY_PATH_BYTES]);
/* Appends the stored body to *out, whose maximum bounds it. OL_ENOTFOUND: not here; OL_EFORMAT: the file does not have
 * the hash it is named after. */
int batch_body_read(const char *folder, const uint8_t body_hash[32], struct buf *out, struct err *)
    __attribute__((warn_unused_result));

#endif
