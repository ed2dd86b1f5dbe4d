/* secp256k1 keys and recoverable signatures (libsecp256k1): what Ethereum accepts and nothing else, that is r, s in
 * range, s in the lower half, recovery id 0 or 1. Pure but for the context, which the caller makes once. */
#ifndef OPENLORA_CORE_SECP_H
#define OPENLORA_CORE_SECP_H

#include "base/err.h"
#include "chainlite/core/keccak.h"

#include <stdbool.h>
#include <stdint.h>

enum { SECRET_BYTES = 32, SIGNATURE_BYTES = 65 }; /* r(32) s(32) v(1): v is 27 or 28 */

struct secp; /* context; immutable after secp_open, shared by threads */

struct secp *secp_open(const uint8_t random[32]); /* NULL without memory; random blinds the context (side channels) */
void secp_close(struct secp *);

bool secp_secret_valid(const struct secp *, const uint8_t secret[SECRET_BYTES]);
int secp_address(const struct secp *, const uint8_t secret[SECRET_BYTES], uint8_t out[ADDRESS_BYTES], struct err *);
/* Deterministic (RFC 6979). */
int secp_sign(const struct secp *, const uint8_t secret[SECRET_BYTES], const uint8_t digest[HASH_BYTES],
              uint8_t out[SIGNATURE_BYTES], struct err *);
int secp_recover(const struct secp *, const uint8_t digest[HASH_BYTES], const uint8_t signature[SIGNATURE_BYTES],
                 uint8_t address[ADDRESS_BYTES], struct err *);

#endif
