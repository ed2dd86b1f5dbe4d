/* The file of an index, and how its parts are read.
 *
 *   header      64 bytes: magic, vocabulary u32, documents u32, symbols u64, zeros
 *   starts      u32 × (documents + 1): first symbol of each document, and the end
 *   symbols     u16 × symbols if the vocabulary is below 2^16, else u32; zeros up to a multiple of 4 bytes
 *   suffixes    u32 × symbols: the suffix array
 *   minima      u32: of every 32 suffixes, then of every 32 of those, … down to at most 32
 *
 * Little-endian. Everything but the header's three numbers follows from the documents. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_INDEX_INTERNAL_H
#define OPENLORA_ATTRIBUTION_SPAN_INDEX_INTERNAL_H

#include "attribution/span_index.h"
#include "base/file_map.h"

enum { SPAN_FAN = 32, SPAN_LEVELS = 7 }; /* 32^7 > SPAN_MAX_SYMBOLS */
#define SPAN_MAGIC "OLSPANS1"

struct span_header {
    char magic[8];
    uint32_t vocab, documents;
    uint64_t symbols;
    uint8_t zero[40];
};
_Static_assert(sizeof(struct span_header) == 64, "as it lies in the file");

/* Where the parts lie, in bytes from the file's start. */
struct span_layout {
    uint64_t starts, symbols, suffixes, minima, end;
    uint32_t wide;          /* bytes of a symbol */
    uint32_t n[SPAN_LEVELS]; /* entries of each level; n[0]: the suffix array's */
    uint32_t levels;
};
/* vocab, documents and symbols are within their limits. */
void span_layout_of(uint32_t vocab, uint32_t documents, uint64_t symbols, struct span_layout *);

struct span_index {
    struct file_map file; /* none after span_index_parse */
    uint64_t bytes;
    uint32_t vocab, documents, n;
    const uint32_t *starts; /* (documents + 1), ascending, checked */
    const uint16_t *narrow; /* one of the two is set: (n) */
    const uint32_t *wide;
    uint32_t levels;
    const uint32_t *level[SPAN_LEVELS]; /* level[0]: the suffix array. Entries are not checked */
    uint32_t level_n[SPAN_LEVELS];
};

/* The same from memory, which must outlive the index and is aligned as a mapping is; `what` names it in messages. */
int span_index_parse(const void *bytes, size_t n, const char *what, struct span_index **out, struct err *)
    __attribute__((warn_unused_result));

/* i < n */
static inline uint32_t span_symbol(const struct span_index *x, uint32_t i)
{
    return x->narrow ? x->narrow[i] : x->wide[i];
}

/* Least entry of the suffix array in [from, to), from < to ≤ n: the earliest place. */
uint32_t span_earliest(const struct span_index *, uint32_t from, uint32_t to);
/* The document that holds symbol i < n. */
uint32_t span_document_at(const struct span_index *, uint32_t i);

#endif
