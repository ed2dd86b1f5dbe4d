/* The vocabulary of a byte-level BPE model: what each id stands for, and which id a string of bytes has.
 *
 * Files spell tokens in GPT-2's byte alphabet, where every byte is one printable character ("Ġ" is a space). Here a
 * token is its raw bytes. Control and user-defined tokens are literal text. */
#ifndef OPENLORA_MODEL_VOCAB_H
#define OPENLORA_MODEL_VOCAB_H

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"
#include "model/name_index.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    VOCAB_MAX_TOKENS = 1 << 21,
    VOCAB_MAX_BYTES = 1 << 28, /* of all tokens together */
};

struct vocab_token {
    uint32_t offset, len; /* in the pool */
    bool exists;          /* ids that a file leaves out do not */
    bool word;            /* something BPE can produce */
    bool special;         /* control token: hidden in output, and plain text unless asked for */
    bool end;             /* ends a generation */
};

struct vocab {
    struct vocab_token *tokens; /* owned, n of them */
    int32_t n;
    struct buf pool;            /* the bytes of all tokens */
    struct name_index words;    /* raw bytes → id, for what BPE can produce */
};

/* Room for n tokens; none exists yet. */
int vocab_init(struct vocab *v, size_t n, struct err *e) __attribute__((warn_unused_result));
void vocab_deinit(struct vocab *v);

/* Sets a word from its spelling in the byte alphabet. A spelling outside that alphabet is kept as it stands. */
int vocab_set_spelling(struct vocab *v, int64_t id, struct text spelling, struct err *e)
    __attribute__((warn_unused_result));
/* Sets a token, or replaces its bytes, by literal text. */
int vocab_set_literal(struct vocab *v, int64_t id, struct text literal, struct err *e)
    __attribute__((warn_unused_result));

/* After the last set: indexes the words; the lowest id of equal words wins. */
int vocab_index(struct vocab *v, struct err *e) __attribute__((warn_unused_result));

struct text vocab_bytes(const struct vocab *v, int32_t id); /* empty for ids that do not exist */
int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len); /* −1 if no word */

/* Appends the bytes that a spelling stands for; false (and nothing appended) if it leaves the byte alphabet. */
bool vocab_unspell(struct text spelling, struct buf *out);

#endif
