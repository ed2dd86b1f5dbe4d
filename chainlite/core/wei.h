/* Amounts of money: 128-bit unsigned wei, and their text and big-endian forms. Pure. */
#ifndef OPENLORA_CORE_WEI_H
#define OPENLORA_CORE_WEI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 wei_t;

enum { WEI_TEXT_BYTES = 40 }; /* 39 digits and NUL */

void wei_format(wei_t, char out[WEI_TEXT_BYTES]);               /* decimal, no separators */
bool wei_parse(const char *text, wei_t *out);                   /* digits only; false: malformed or over 128 bits */
void wei_to_be16(wei_t, uint8_t out[16]);
wei_t wei_from_be16(const uint8_t in[16]);
void wei_to_be32(wei_t, uint8_t out[32]);                       /* an EVM word */
bool wei_from_be32(const uint8_t in[32], wei_t *out);           /* false: does not fit 128 bits */
bool wei_add(wei_t a, wei_t b, wei_t *out);                     /* false: overflow, *out untouched */
/* "0.001234" (at most 18 decimals) <-> wei of a coin with 18 decimals. */
bool wei_parse_coin(const char *text, wei_t *out);
void wei_format_coin(wei_t, char out[WEI_TEXT_BYTES + 2]);      /* shortest exact form */

#endif
