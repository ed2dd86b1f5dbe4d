/* RLP (Ethereum yellow paper, appendix B). The reader is strict: minimal lengths, no trailing bytes, no leading zeros
 * in integers; it never copies and never recurses. The writer fills a caller's buffer. Pure. */
#ifndef OPENLORA_CORE_RLP_H
#define OPENLORA_CORE_RLP_H

#include "base/err.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rlp { /* one item; borrows the input */
    const uint8_t *data; /* payload */
    size_t len;
    bool list;
};

struct rlp_reader { /* the items of a list, in order */
    const uint8_t *at, *end;
};

/* Exactly one item that fills the input. */
int rlp_parse(const uint8_t *bytes, size_t n, struct rlp *out, struct err *);
struct rlp_reader rlp_items(const struct rlp *list);
bool rlp_more(const struct rlp_reader *);
int rlp_next(struct rlp_reader *, struct rlp *out, struct err *);   /* OL_EFORMAT at the end of the list */
int rlp_next_u64(struct rlp_reader *, uint64_t *out, struct err *);
int rlp_next_wei(struct rlp_reader *, wei_t *out, struct err *);
int rlp_next_bytes(struct rlp_reader *, uint8_t *out, size_t n, struct err *); /* exactly n bytes */

struct rlp_writer {
    uint8_t *data;
    size_t cap, len;
    bool failed; /* did not fit; later writes do nothing */
};

void rlp_writer_init(struct rlp_writer *, uint8_t *data, size_t cap);
void rlp_put_bytes(struct rlp_writer *, const void *bytes, size_t n);
void rlp_put_u64(struct rlp_writer *, uint64_t);
void rlp_put_wei(struct rlp_writer *, wei_t);
void rlp_put_raw(struct rlp_writer *, const void *item, size_t n); /* an item, or items, already encoded */
/* Lists: remember a mark, write the items, close; nested lists close inner first. */
size_t rlp_list_open(const struct rlp_writer *);
void rlp_list_close(struct rlp_writer *, size_t mark);

enum { RLP_PREFIX_BYTES = 9 };
/* The prefix of a list whose items take `payload` bytes, or of a string that needs one; returns its length. */
size_t rlp_list_prefix(size_t payload, uint8_t out[RLP_PREFIX_BYTES]);
size_t rlp_string_prefix(size_t len, uint8_t out[RLP_PREFIX_BYTES]);

#endif
