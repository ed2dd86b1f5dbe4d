/* Byte-pair encoding of one word: its bytes are joined pair by pair, always the pair of the lowest rank, leftmost
 * first, until no pair of neighbours has a merge. O(n log n) in the word's length. */
#ifndef OPENLORA_MODEL_BPE_H
#define OPENLORA_MODEL_BPE_H

#include "base/err.h"
#include "model/map64.h"
#include "model/vocab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe {
    const struct vocab *vocab; /* borrowed; indexed */
    struct map64 merges;       /* (left id, right id) → (rank, id of the joined token) */
    int32_t byte_ids[256];     /* id of each single byte; −1 where the model has none */
    int32_t unknown_id;        /* stands for such bytes; −1: they are dropped */
    bool ignore_merges;        /* a word that is one token as a whole is not split (Llama 3) */
};

enum { BPE_MAX_MERGES = 1 << 22 };

/* Empty: single bytes only. */
void bpe_init(struct bpe *b, const struct vocab *vocab);
void bpe_deinit(struct bpe *b);
/* Adds the merge of this rank; left and right are spelled in the byte alphabet. Refused if either of them, or what
 * they join to, is not in the vocabulary. */
int bpe_add_merge(struct bpe *b, uint32_t rank, struct text left, struct text right, struct err *e)
    __attribute__((warn_unused_result));
/* The same for "left right" in one text, as files write it. */
int bpe_add_merge_line(struct bpe *b, uint32_t rank, struct text line, struct err *e)
    __attribute__((warn_unused_result));

/* A list of ids that grows up to a maximum, in the caller's variables. */
struct id_list {
    int32_t **ids; /* owned by the caller, realloc'd */
    size_t *n, *cap;
    size_t max;
};
int id_list_add(struct id_list *list, int32_t id, struct err *e) __attribute__((warn_unused_result));

/* Working memory of one call of tokenizer_encode, kept from word to word. Zero to begin with. */
struct bpe_work {
    struct bpe_symbol *symbols; /* owned */
    uint64_t *heap;             /* owned: candidates, rank << 32 | position of the left symbol */
    size_t cap, n_heap;
};
void bpe_work_deinit(struct bpe_work *w);

/* Appends the ids of one word (any bytes). */
int bpe_encode(const struct bpe *b, const char *word, size_t len, struct bpe_work *w, struct id_list *out,
               struct err *e) __attribute__((warn_unused_result));

#endif
