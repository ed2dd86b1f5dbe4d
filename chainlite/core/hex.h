/* Hexadecimal text and addresses as people write them (EIP-55 mixed-case checksum). Pure. */
#ifndef OPENLORA_CORE_HEX_H
#define OPENLORA_CORE_HEX_H

#include "chainlite/core/keccak.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADDRESS_TEXT_BYTES = 43 }; /* 0x, 40 digits and NUL */

void hex_encode(const void *bytes, size_t n, char *out); /* 2n lower-case digits and NUL, without 0x */
/* Exactly 2n digits of either case after an optional 0x; false otherwise, out then undefined. */
bool hex_decode(const char *text, void *out, size_t n);

void address_format(const uint8_t address[ADDRESS_BYTES], char out[ADDRESS_TEXT_BYTES]); /* with the checksum */
/* 0x and 40 digits: one case throughout, or mixed with the right checksum. */
bool address_parse(const char *text, uint8_t out[ADDRESS_BYTES]);

#endif
