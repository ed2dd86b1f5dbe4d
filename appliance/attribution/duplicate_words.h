/* Fingerprints of word runs for duplicates.c. Pure. */
#ifndef OPENLORA_ATTRIBUTION_DUPLICATE_WORDS_H
#define OPENLORA_ATTRIBUTION_DUPLICATE_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHINGLE_WORDS = 5,
    MINHASH_VALUES = 128,
    MINHASH_BANDS = 32,
    BAND_VALUES = MINHASH_VALUES / MINHASH_BANDS,
    FINGERPRINT_WORDS = 25, /* a run of 50 words holds 26 fingerprints, of which one is kept */
    FINGERPRINT_WINDOW = 26,
};

/* Appends the hash of every word of text to out (NULL: only counts); returns how many. */
size_t words_hash(const char *text, size_t n, uint64_t *out);
/* Hash of a run of words. */
uint64_t run_hash(const uint64_t *words, size_t n);
/* The hashes of all 5-word runs, sorted, each once (a shorter row is one run); returns how many; out has room for
 * max(1, n). n > 0. */
size_t shingles(const uint64_t *words, size_t n, uint64_t *out);
/* One key per band of the MinHash of a non-empty set. */
void minhash_bands(const uint64_t *set, size_t n, uint64_t out[MINHASH_BANDS]);
/* Calls each(user, place, fingerprint) for the winnowed fingerprints of 25-word runs; fewer than 50 words have none.
 * Stops when it returns other than 0, which is returned. */
int winnow(const uint64_t *words, size_t n, int (*each)(void *user, size_t place, uint64_t fingerprint), void *user);

#endif
