/* Byte-level BPE gives ids in the order of merges, and merges are made in the order of frequency: with r the number of
 * ordinary tokens before a token, its probability is taken as 1/(r + 10) over the sum of all of these (Zipf's law, bent
 * at its head). Control tokens and ids that stand for nothing are worth nothing.
 *
 * The file: magic, vocabulary u32, u32 0, millibits u16 × vocabulary; little-endian. */
#include "attribution/surprisal.h"

#include "base/file_hash.h"
#include "base/file_map.h"
#include "base/file_replace.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SURPRISAL_MAGIC "OLSURPR1"

enum { RANK_OFFSET = 10, WEIGHT_BITS = 40, MAX_VOCAB = 1 << 24 };

struct surprisal_header {
    char magic[8];
    uint32_t vocab, zero;
};

/* Squaring a number in [1, 2) doubles its logarithm: each time it passes 2, the next bit of the logarithm is 1. */
uint32_t surprisal_log2_q16(uint64_t x)
{
    CHECK(x);
    unsigned whole = 63 - (unsigned)__builtin_clzll(x);
    uint64_t fraction = x << (63 - whole); /* Q63 in [1, 2) */
    uint32_t log = whole;
    for (int bit = 0; bit < 16; bit++) {
        unsigned __int128 square = (unsigned __int128)fraction * fraction; /* Q126 in [1, 4) */
        bool passed = square >> 127;
        log = log << 1 | passed;
        fraction = (uint64_t)(square >> (passed ? 64 : 63));
    }
    return log;
}

static bool is_ordinary(const struct tokenizer *t, int32_t id)
{
    return tokenizer_bytes(t, id).len && !tokenizer_is_special(t, id);
}

int surprisal_make(const struct tokenizer *t, struct surprisal *out, struct err *e)
{
    int32_t vocab = tokenizer_vocab(t);
    *out = (struct surprisal){.vocab = (uint32_t)vocab, .millibits = calloc((size_t)vocab, sizeof *out->millibits)};
    if (!out->millibits)
        return err_set(e, OL_ENOMEM, "surprisal", "no memory for a table of %d tokens", vocab);
    uint64_t sum = 0, rank = 0; /* Q40; 2^24 tokens of at most 2^40/10 fit */
    for (int32_t id = 0; id < vocab; id++)
        if (is_ordinary(t, id))
            sum += ((uint64_t)1 << WEIGHT_BITS) / (RANK_OFFSET + rank++);
    if (!rank)
        return 0;
    int64_t log_sum = (int64_t)surprisal_log2_q16(sum) - ((int64_t)WEIGHT_BITS << 16); /* of few tokens: below 0 */
    rank = 0;
    for (int32_t id = 0; id < vocab; id++)
        if (is_ordinary(t, id)) {
            int64_t log = log_sum + surprisal_log2_q16(RANK_OFFSET + rank++); /* of one token: rounded below 0 */
            out->millibits[id] = (uint16_t)((log > 0 ? log : 0) * 1000 >> 16);
        }
    return 0;
}

void surprisal_deinit(struct surprisal *s)
{
    free(s->millibits);
    *s = (struct surprisal){0};
}

int surprisal_save(const struct surprisal *s, const char *path, char hash[SHA256_HEX_BYTES], struct err *e)
{
    struct surprisal_header header = {.vocab = s->vocab};
    size_t table_bytes = s->vocab * sizeof *s->millibits, n = sizeof header + table_bytes;
    unsigned char *image = malloc(n);
    if (!image)
        return err_set(e, OL_ENOMEM, "surprisal", "no memory to write %s", path);
    memcpy(header.magic, SURPRISAL_MAGIC, sizeof header.magic);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, s->millibits, table_bytes);
    if (hash) {
        struct sha256 h;
        sha256_init(&h);
        sha256_add(&h, image, n);
        sha256_hex(&h, hash);
    }
    int rc = file_replace(path, image, n, e);
    free(image);
    return rc;
}

static int read_image(const struct file_map *file, const char *path, struct surprisal *out, struct err *e)
{
    struct surprisal_header header;
    if (file->len < sizeof header || memcmp(file->data, SURPRISAL_MAGIC, sizeof header.magic))
        return err_set(e, OL_EFORMAT, "surprisal", "%s is not a table of surprisal", path);
    memcpy(&header, file->data, sizeof header);
    if (!header.vocab || header.vocab > MAX_VOCAB || header.zero ||
        file->len - sizeof header != (size_t)header.vocab * sizeof *out->millibits)
        return err_set(e, OL_EFORMAT, "surprisal", "%s: a vocabulary of %u does not go with its size; copy it again",
                       path, header.vocab);
    out->vocab = header.vocab;
    out->millibits = malloc(file->len - sizeof header);
    if (!out->millibits)
        return err_set(e, OL_ENOMEM, "surprisal", "no memory for %s", path);
    memcpy(out->millibits, file->data + sizeof header, file->len - sizeof header);
    return 0;
}

int surprisal_load(const char *path, const char *expected, struct surprisal *out, struct err *e)
{
    char hash[SHA256_HEX_BYTES];
    struct file_map file;
    *out = (struct surprisal){0};
    int rc = expected ? file_hash(path, hash, e) : 0;
    if (!rc && expected && strcmp(hash, expected))
        rc = err_set(e, OL_EFORMAT, "surprisal", "%s has the hash %s, expected was %s", path, hash, expected);
    if (!rc)
        rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    rc = read_image(&file, path, out, e);
    file_map_deinit(&file);
    return rc;
}
