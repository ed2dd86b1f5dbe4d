/* Added tokens: texts such as "<|im_start|>" that become one id wherever they stand, before the text around them is
 * split. The leftmost one wins, then the longest. */
#ifndef OPENLORA_MODEL_ADDED_TOKENS_H
#define OPENLORA_MODEL_ADDED_TOKENS_H

#include "base/err.h"
#include "model/gguf.h"
#include "model/map64.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADDED_TOKEN_MAX_BYTES = 1024, ADDED_TOKENS_MAX = 1 << 17 };

struct added_token {
    int32_t id;
    bool special;     /* found only where the caller asked for special tokens */
    bool lstrip, rstrip; /* swallows white space on that side */
    bool single_word; /* not inside a word */
};

struct added_tokens { /* one trie over bytes */
    struct map64 edges;         /* (node, byte) → node; node 0 is the root */
    struct added_token *tokens; /* owned */
    uint32_t n, cap;
    struct map64 ends;          /* node → position in tokens */
    uint32_t nodes;
};

struct added_match {
    size_t start, end;           /* what the token stands for, swallowed space included */
    int32_t id;
};

void added_tokens_deinit(struct added_tokens *a);
/* Adds a token by its text; the same text again replaces it. */
int added_tokens_add(struct added_tokens *a, struct text content, struct added_token token, struct err *e)
    __attribute__((warn_unused_result));

/* The id of the token with exactly this text, or −1. */
int32_t added_tokens_find(const struct added_tokens *a, const char *content, size_t len);

/* Finds the next token in text at or after `from` (valid UTF-8): false if there is none. Special ones count only if
 * `special`. */
bool added_tokens_next(const struct added_tokens *a, const char *text, size_t len, size_t from, bool special,
                       struct added_match *out);

#endif
