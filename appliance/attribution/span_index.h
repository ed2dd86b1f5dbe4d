/* The index of spans: the documents' tokens, their suffix array and a tree of its minima, in one mapped file
 * (docs/attribution.md §2).
 *
 * Symbols are token id + 1; 0 is the separator that follows every document and sorts below every token. The suffix
 * array is unique and the file has no other freedom, so its SHA-256 commits to the documents and their order.
 *
 * Reading trusts nothing: sizes, offsets and documents are checked at open, in time proportional to the documents; what
 * cannot be checked so cheaply (entries of the suffix array, symbols) is checked where it is read, so that a hostile
 * file gives OL_EFORMAT or wrong spans, never a read out of bounds. Immutable after open and safe from any thread. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_INDEX_H
#define OPENLORA_ATTRIBUTION_SPAN_INDEX_H

#include "base/err.h"
#include "base/sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPAN_MAX_VOCAB = 1 << 24,
    SPAN_MAX_SYMBOLS = 0x7fff0000, /* tokens and separators of one index */
    SPAN_SEPARATOR = -1,           /* among the ids of a document: nothing matches across it */
};

struct span_index;

/* `expected`: the file's SHA-256 in hex, checked (base/file_hash.h: once per state of the file); NULL: not checked. */
int span_index_open(const char *path, const char *expected, struct span_index **out, struct err *)
    __attribute__((warn_unused_result));
void span_index_close(struct span_index *);

uint32_t span_index_vocab(const struct span_index *);     /* ids are below it */
uint32_t span_index_documents(const struct span_index *);
uint64_t span_index_symbols(const struct span_index *);   /* tokens and separators */
uint64_t span_index_bytes(const struct span_index *);     /* of the file */
/* Its tokens and inner separators. document < span_index_documents. */
uint32_t span_index_document_tokens(const struct span_index *, uint32_t document);
/* Ids of a document from `offset` on, at most n; returns how many there were. SPAN_SEPARATOR between parts. */
uint32_t span_index_read(const struct span_index *, uint32_t document, uint32_t offset, int32_t *ids, uint32_t n);

/* Building: documents are added in their order, kept in memory and written at the end. Memory: 4 bytes per token, and
 * while writing the file's size and about 2 per token more. */
struct span_builder;

/* Called from span_builder_write with growing `done`. */
typedef void (*span_progress)(void *context, uint64_t done, uint64_t total);

int span_builder_open(uint32_t vocab, struct span_builder **out, struct err *) __attribute__((warn_unused_result));
void span_builder_close(struct span_builder *);
/* One more document; n may be 0. Ids below 0 (but SPAN_SEPARATOR) and from `vocab` on are OL_EINVAL. */
int span_builder_add(struct span_builder *, const int32_t *ids, size_t n, struct err *)
    __attribute__((warn_unused_result));
uint32_t span_builder_documents(const struct span_builder *);
uint64_t span_builder_symbols(const struct span_builder *);
uint64_t span_builder_bytes(const struct span_builder *); /* of the file */
/* Replaces `path` in one step. hash: of the file, may be NULL. progress may be NULL. OL_EINVAL without a document. */
int span_builder_write(struct span_builder *, const char *path, span_progress progress, void *context,
                       char hash[SHA256_HEX_BYTES], struct err *) __attribute__((warn_unused_result));

#endif
