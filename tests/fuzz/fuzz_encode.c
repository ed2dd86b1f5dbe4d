/* Any bytes through a tokenizer whose vocabulary covers all of them: detokenized, the ids must give the text again,
 * with U+FFFD for what is not UTF-8. The first byte chooses the pattern, and whether special tokens are parsed. */
#include "model/tokenizer_private.h"
#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { PATTERNS = 3 };

static const char *const patterns[PATTERNS] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|\\p{N}",
};

static void must(int rc)
{
    if (rc)
        abort();
}

/* 256 bytes, a few pairs of them, and two added tokens. */
static struct tokenizer *make(const char *pattern)
{
    static const char *const pairs[] = {"th", "in", "aa", "he", "10", "00", "\xc3\xa9", "\xe2\x82"};
    enum { PAIRS = sizeof pairs / sizeof *pairs };
    struct tokenizer *t = NULL;
    must(tokenizer_alloc(&t, NULL));
    must(vocab_init(&t->vocab, 256 + PAIRS + 2, NULL));
    for (int i = 0; i < 256 + PAIRS; i++) {
        char byte = (char)i;
        struct text bytes = {i < 256 ? &byte : pairs[i - 256], i < 256 ? 1 : 2};
        must(vocab_set_literal(&t->vocab, i, bytes, NULL));
        t->vocab.tokens[i].word = true;
    }
    static const char *const added[] = {"<s>", "<tool>"};
    for (int i = 0; i < 2; i++) {
        struct text content = {added[i], strlen(added[i])};
        int32_t id = 256 + PAIRS + i;
        must(vocab_set_literal(&t->vocab, id, content, NULL));
        must(added_tokens_add(&t->raw, content, (struct added_token){.id = id, .special = i == 0}, NULL));
    }
    must(vocab_index(&t->vocab, NULL));
    bpe_init(&t->bpe, &t->vocab);
    must(bpe_add_merge_line(&t->bpe, 0, (struct text){"t h", 3}, NULL));
    must(bpe_add_merge_line(&t->bpe, 1, (struct text){"a a", 3}, NULL));
    must(bpe_add_merge_line(&t->bpe, 2, (struct text){"h e", 3}, NULL));
    must(bpe_add_merge_line(&t->bpe, 3, (struct text){"\xc3\x83 \xc2\xa9", 5}, NULL)); /* the bytes of é */
    must(pretokenizer_add(&t->pre, (struct text){pattern, strlen(pattern)}, SPLIT_ISOLATED, false, NULL));
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *tokenizers[PATTERNS];
    if (!size)
        return 0;
    struct tokenizer **t = &tokenizers[data[0] % PATTERNS];
    if (!*t)
        *t = make(patterns[data[0] % PATTERNS]);
    const char *text = (const char *)data + 1;
    struct buf want, got;
    buf_init(&want, 8 * size + 8);
    buf_init(&got, 8 * size + 8);
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    must(tokenizer_encode(*t, text, size - 1, data[0] & 0x80, SIZE_MAX, &ids, &n, &cap, NULL));
    struct detokenizer d = {.n_pending = 0};
    for (size_t i = 0; i < n; i++)
        detokenizer_push(&d, *t, ids[i], true, &got);
    detokenizer_finish(&d, &got);
    utf8_append_replaced(&want, text, size - 1);
    if (want.len != got.len || memcmp(buf_str(&want), buf_str(&got), got.len))
        abort();
    buf_deinit(&want);
    buf_deinit(&got);
    free(ids);
    return 0;
}
