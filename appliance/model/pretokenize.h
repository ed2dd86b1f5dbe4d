/* Splits text into the words that BPE works on: a chain of stages, each cutting every piece of the stage before by
 * one regular expression. The expressions are written for Oniguruma with Unicode, as tokenizer.json has them;
 * PCRE2 runs them, with "\s" narrowed to Unicode's White_Space.
 *
 * A pattern comes from a model file and may be hostile: its size, and the work and memory of one match, are limited;
 * past them a split fails with a message instead of hanging. */
#ifndef OPENLORA_MODEL_PRETOKENIZE_H
#define OPENLORA_MODEL_PRETOKENIZE_H

#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>

enum { PRETOKENIZER_MAX_STAGES = 8, PRETOKENIZER_MAX_PATTERN_BYTES = 8192 };

enum split_behaviour { /* what becomes of a match */
    SPLIT_ISOLATED,    /* a piece of its own */
    SPLIT_REMOVED,     /* dropped */
    SPLIT_CONTIGUOUS,  /* neighbouring matches form one piece */
    SPLIT_WITH_PREVIOUS,
    SPLIT_WITH_NEXT,
};

struct split_stage {
    void *regex; /* owned pcre2_code */
    enum split_behaviour behaviour;
    bool invert; /* what lies between matches counts as the match */
};

struct pretokenizer {
    struct split_stage stages[PRETOKENIZER_MAX_STAGES];
    int n;
};

extern const char pretokenizer_gpt2_pattern[]; /* the one that ByteLevel implies */

void pretokenizer_deinit(struct pretokenizer *p);
int pretokenizer_add(struct pretokenizer *p, struct text pattern, enum split_behaviour behaviour, bool invert,
                     struct err *e) __attribute__((warn_unused_result));

/* Receives the words in order; a non-zero return ends the split and is passed on. */
typedef int pretokenizer_emit(void *context, const char *word, size_t len, struct err *e);

/* Splits valid UTF-8. Safe from any thread. */
int pretokenizer_split(const struct pretokenizer *p, const char *text, size_t len, pretokenizer_emit *emit,
                       void *context, struct err *e) __attribute__((warn_unused_result));

#endif
