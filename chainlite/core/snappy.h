/* The snappy block format (google/snappy, format_description.txt), reading only, into the caller's buffer. Pure. */
#ifndef OPENLORA_CORE_SNAPPY_H
#define OPENLORA_CORE_SNAPPY_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The length that the block says it has uncompressed; check it before making room. */
int snappy_length(const uint8_t *block, size_t n, size_t *length, struct err *);
/* OL_ELIMIT when that is more than cap. Otherwise exactly that many bytes are written, or the block is refused. */
int snappy_decode(const uint8_t *block, size_t n, uint8_t *out, size_t cap, size_t *length, struct err *);

#endif
