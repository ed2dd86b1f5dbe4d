/* Words, shingles, MinHash and winnowing; see duplicate_words.h. */
#include "attribution/duplicate_words.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x) /* a bijection that spreads every bit (the finaliser of splitmix64) */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The byte as it counts in a word, 0: it separates words. */
static unsigned char word_byte(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c + ('a' - 'A'));
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80 ? c : 0;
}

size_t words_hash(const char *text, size_t n, uint64_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        uint64_t hash = 0x9e3779b97f4a7c15u;
        unsigned char c;
        size_t from = i;
        for (; i < n && (c = word_byte((unsigned char)text[i])); i++)
            hash = (hash ^ c) * 0x100000001b3u;
        if (i == from) {
            i++;
            continue;
        }
        if (out)
            out[count] = mix(hash);
        count++;
    }
    return count;
}

uint64_t run_hash(const uint64_t *words, size_t n)
{
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++)
        hash = mix(hash * 0x9e3779b97f4a7c15u + words[i]);
    return hash;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

size_t shingles(const uint64_t *words, size_t n, uint64_t *out)
{
    size_t runs = n < SHINGLE_WORDS ? 1 : n - SHINGLE_WORDS + 1, kept = 0;
    for (size_t i = 0; i < runs; i++)
        out[i] = run_hash(words + i, n < SHINGLE_WORDS ? n : SHINGLE_WORDS);
    qsort(out, runs, sizeof *out, by_value);
    for (size_t i = 0; i < runs; i++)
        if (i == 0 || out[i] != out[kept - 1])
            out[kept++] = out[i];
    return kept;
}

void minhash_bands(const uint64_t *set, size_t n, uint64_t out[MINHASH_BANDS])
{
    for (uint64_t band = 0; band < MINHASH_BANDS; band++) {
        uint64_t least[BAND_VALUES];
        for (uint64_t v = 0; v < BAND_VALUES; v++) {
            uint64_t key = mix(band * BAND_VALUES + v + 1);
            least[v] = UINT64_MAX;
            for (size_t i = 0; i < n; i++) {
                uint64_t value = mix(set[i] ^ key);
                least[v] = value < least[v] ? value : least[v];
            }
        }
        out[band] = run_hash(least, BAND_VALUES) ^ mix(band);
    }
}

/* Robust winnowing: of every window of fingerprints the smallest; the one chosen before as long as it is that, so that
 * a text of one word over and over gets few. Each place once. */
int winnow(const uint64_t *words, size_t n, int (*each)(void *user, size_t place, uint64_t fingerprint), void *user)
{
    uint64_t window[FINGERPRINT_WINDOW];
    size_t chosen = SIZE_MAX;
    for (size_t i = 0; i + FINGERPRINT_WORDS <= n; i++) {
        window[i % FINGERPRINT_WINDOW] = run_hash(words + i, FINGERPRINT_WORDS);
        if (i + 1 < FINGERPRINT_WINDOW)
            continue;
        size_t first = i + 1 - FINGERPRINT_WINDOW, least = chosen != SIZE_MAX && chosen >= first ? chosen : first;
        for (size_t k = first; k <= i; k++)
            if (window[k % FINGERPRINT_WINDOW] < window[least % FINGERPRINT_WINDOW])
                least = k;
        if (least == chosen)
            continue;
        chosen = least;
        int rc = each(user, chosen, window[chosen % FINGERPRINT_WINDOW]);
        if (rc != 0)
            return rc;
    }
    return 0;
}
