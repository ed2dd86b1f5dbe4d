/* UTF-8 as the Unicode standard has it (no surrogates, no overlong forms, at most U+10FFFF). What is not valid is
 * replaced by one U+FFFD per maximal subpart, as Python's errors='replace' and Rust's from_utf8_lossy do. */
#ifndef OPENLORA_MODEL_UTF8_H
#define OPENLORA_MODEL_UTF8_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Looks at the sequence at the start of s (len > 0). Returns its length 1-4 and its code point; 0 if all of s is a
 * valid but unfinished beginning; −k if the first k bytes can never become a character. */
int utf8_scan(const char *s, size_t len, uint32_t *code_point);

/* Code point of the sequence at s in text known to be valid; *length is set to its bytes. */
uint32_t utf8_decode(const char *s, int *length);

/* Appends a code point (at most U+10FFFF) in UTF-8. */
void utf8_append(struct buf *out, uint32_t code_point);

/* Length of the valid prefix of s: len if all of it is valid. */
size_t utf8_valid_prefix(const char *s, size_t len);

/* Appends s with everything invalid replaced. */
void utf8_append_replaced(struct buf *out, const char *s, size_t len);

#endif
