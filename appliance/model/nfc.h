/* Unicode normalization form C, in time O(n log n) for any input (libutf8proc's own ordering of combining marks is
 * quadratic). */
#ifndef OPENLORA_MODEL_NFC_H
#define OPENLORA_MODEL_NFC_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* True if normalization certainly leaves the text as it is: no character from U+0300 on. */
bool nfc_is_trivial(const char *text, size_t len);

/* Appends the normalized form of valid UTF-8. */
int nfc_append(struct buf *out, const char *text, size_t len, struct err *e) __attribute__((warn_unused_result));

#endif
