/* Solidity ABI: building call data and reading results, word by word; bounds, offsets and padding checked. Pure. */
#ifndef OPENLORA_CORE_ABI_H
#define OPENLORA_CORE_ABI_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ABI_WORD_BYTES = 32 };

struct abi_writer { /* heads are written in place; dynamic parts are placed by the caller through abi_mark */
    uint8_t *data;
    size_t cap, len;
    bool failed;
};

void abi_writer_init(struct abi_writer *, uint8_t *data, size_t cap);
void abi_selector(const char *signature, uint8_t out[4]);             /* "transfer(address,uint256)" */
void abi_put_selector(struct abi_writer *, const char *signature);
void abi_put_u64(struct abi_writer *, uint64_t);
void abi_put_i64(struct abi_writer *, int64_t);                        /* sign-extended */
void abi_put_wei(struct abi_writer *, wei_t);
void abi_put_bool(struct abi_writer *, bool);
void abi_put_address(struct abi_writer *, const uint8_t[ADDRESS_BYTES]);
void abi_put_word(struct abi_writer *, const uint8_t[32]);             /* bytes32 */
size_t abi_put_offset(struct abi_writer *);                            /* reserves a head word; returns its place */
void abi_set_offset(struct abi_writer *, size_t place, size_t base);   /* ... := len - base */
void abi_put_bytes(struct abi_writer *, const void *bytes, size_t n);  /* length word, bytes, zero padding */

struct abi_reader {
    const uint8_t *data;
    size_t len;
};

/* word index counted from the reader's start; OL_EFORMAT when out of bounds or with dirty upper bits. */
int abi_get_word(const struct abi_reader *, size_t word, uint8_t out[32], struct err *);
int abi_get_u64(const struct abi_reader *, size_t word, uint64_t *out, struct err *);
int abi_get_wei(const struct abi_reader *, size_t word, wei_t *out, struct err *);
int abi_get_address(const struct abi_reader *, size_t word, uint8_t out[ADDRESS_BYTES], struct err *);
int abi_get_bool(const struct abi_reader *, size_t word, bool *out, struct err *);
/* These follow the offset in the word: bytes or string; a dynamic array, whose elements *items then reads with its own
 * offsets counted from the first element; at least element_words words per element are there. */
int abi_get_bytes(const struct abi_reader *, size_t word, const uint8_t **out, size_t *n, struct err *);
int abi_get_array(const struct abi_reader *, size_t word, size_t element_words, struct abi_reader *items, size_t *n,
                  struct err *);

#endif
