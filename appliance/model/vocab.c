/* One pool holds the bytes of all tokens; a token is an offset and a length in it, so that 150,000 of them cost no
 * 150,000 allocations. The index borrows from the pool: it is built when the pool no longer moves. */
#include "model/vocab.h"

#include "model/utf8.h"

#include <stdlib.h>

int vocab_init(struct vocab *v, size_t n, struct err *e)
{
    *v = (struct vocab){0};
    buf_init(&v->pool, VOCAB_MAX_BYTES);
    if (!n || n > VOCAB_MAX_TOKENS)
        return err_set(e, OL_EFORMAT, "tokenizer", "a vocabulary of %zu tokens; 1 to %d are possible", n,
                       VOCAB_MAX_TOKENS);
    v->tokens = calloc(n, sizeof *v->tokens);
    if (!v->tokens)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for %zu tokens", n);
    v->n = (int32_t)n;
    return 0;
}

void vocab_deinit(struct vocab *v)
{
    free(v->tokens);
    buf_deinit(&v->pool);
    name_index_deinit(&v->words);
    *v = (struct vocab){0};
}

/* GPT-2's alphabet: printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 to U+0143. */
static int byte_of_letter(uint32_t c)
{
    if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff))
        return (int)c;
    if (c < 0x100 || c > 0x143)
        return -1;
    c -= 0x100;
    return c <= 0x20 ? (int)c : c <= 0x42 ? (int)c - 0x21 + 0x7f : 0xad;
}

/* What was appended is taken back if the spelling turns out to be none. */
bool vocab_unspell(struct text spelling, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < spelling.len;) {
        uint32_t c;
        int n = utf8_scan(spelling.data + i, spelling.len - i, &c);
        int byte = n > 0 ? byte_of_letter(c) : -1;
        if (byte < 0) {
            out->len = before;
            return false;
        }
        buf_add_char(out, (char)byte);
        i += (size_t)n;
    }
    return true;
}

/* The token is what was appended to the pool since `offset`. */
static int set_token(struct vocab *v, int64_t id, size_t offset, struct err *e)
{
    if (buf_failed(&v->pool))
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the vocabulary, or it is over %d MiB",
                       VOCAB_MAX_BYTES >> 20);
    v->tokens[id].offset = (uint32_t)offset;
    v->tokens[id].len = (uint32_t)(v->pool.len - offset);
    v->tokens[id].exists = true;
    return 0;
}

static int check_id(const struct vocab *v, int64_t id, struct err *e)
{
    if (id >= 0 && id < v->n)
        return 0;
    return err_set(e, OL_EFORMAT, "tokenizer", "token id %lld is outside the vocabulary of %d", (long long)id, v->n);
}

int vocab_set_spelling(struct vocab *v, int64_t id, struct text spelling, struct err *e)
{
    int rc = check_id(v, id, e);
    if (rc)
        return rc;
    size_t offset = v->pool.len;
    if (!vocab_unspell(spelling, &v->pool))
        buf_add(&v->pool, spelling.data, spelling.len);
    v->tokens[id].word = true;
    return set_token(v, id, offset, e);
}

int vocab_set_literal(struct vocab *v, int64_t id, struct text literal, struct err *e)
{
    int rc = check_id(v, id, e);
    if (rc)
        return rc;
    size_t offset = v->pool.len;
    buf_add(&v->pool, literal.data, literal.len);
    return set_token(v, id, offset, e);
}

int vocab_index(struct vocab *v, struct err *e)
{
    int rc = name_index_init(&v->words, (size_t)v->n, e);
    for (int32_t id = 0; !rc && id < v->n; id++) {
        struct text t = vocab_bytes(v, id);
        if (t.len && v->tokens[id].word)
            name_index_add(&v->words, t.data, t.len, (uint32_t)id);
    }
    return rc;
}

struct text vocab_bytes(const struct vocab *v, int32_t id)
{
    if (id < 0 || id >= v->n || !v->tokens[id].exists)
        return (struct text){"", 0};
    return (struct text){buf_str(&v->pool) + v->tokens[id].offset, v->tokens[id].len};
}

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len)
{
    uint32_t id;
    return name_index_find(&v->words, bytes, len, &id) ? (int32_t)id : -1;
}
