/* Encoding is a chain of cuts, each passing what lies between to the next:
 *   any bytes → valid UTF-8 → around added tokens → NFC → around added tokens of normalized text → words → BPE
 * Nothing is kept between calls, so a tokenizer serves all threads at once. */
#include "model/tokenizer_private.h"

#include "model/nfc.h"
#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 28 };

int tokenizer_alloc(struct tokenizer **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a tokenizer");
    (*out)->bos = (*out)->eos = -1;
    return 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_deinit(&t->vocab);
    bpe_deinit(&t->bpe);
    pretokenizer_deinit(&t->pre);
    added_tokens_deinit(&t->raw);
    added_tokens_deinit(&t->normalized);
    free(t->chat_template);
    free(t);
}

void tokenizer_set_end(struct tokenizer *t, int64_t id)
{
    if (id >= 0 && id < t->vocab.n && t->vocab.tokens[id].exists)
        t->vocab.tokens[id].end = true;
}

void tokenizer_set_known_ends(struct tokenizer *t)
{
    static const char *const names[] = {"<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<|eom_id|>",
                                        "<|end|>", "<end_of_turn>", "</s>"};
    for (int32_t id = 0; id < t->vocab.n; id++) {
        struct text bytes = vocab_bytes(&t->vocab, id);
        for (size_t k = 0; k < sizeof names / sizeof *names && t->vocab.tokens[id].special; k++)
            if (bytes.len == strlen(names[k]) && !memcmp(bytes.data, names[k], bytes.len))
                t->vocab.tokens[id].end = true;
    }
}

int tokenizer_set_template(struct tokenizer *t, struct text source, struct err *e)
{
    if (source.len > TOKENIZER_MAX_TEMPLATE_BYTES)
        return err_set(e, OL_ELIMIT, "tokenizer", "a chat template of %zu bytes, more than %d", source.len,
                       TOKENIZER_MAX_TEMPLATE_BYTES);
    char *copy = malloc(source.len + 1);
    if (!copy)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the chat template");
    memcpy(copy, source.data, source.len);
    copy[source.len] = 0;
    free(t->chat_template);
    t->chat_template = copy;
    return 0;
}

int32_t tokenizer_vocab(const struct tokenizer *t) { return t->vocab.n; }
int32_t tokenizer_bos(const struct tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const struct tokenizer *t) { return t->eos; }
bool tokenizer_adds_bos(const struct tokenizer *t) { return t->adds_bos && t->bos >= 0; }
const char *tokenizer_chat_template(const struct tokenizer *t) { return t->chat_template; }
struct text tokenizer_bytes(const struct tokenizer *t, int32_t id) { return vocab_bytes(&t->vocab, id); }

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.tokens[id].special;
}

bool tokenizer_is_eog(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.tokens[id].end;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *piece, size_t len)
{
    const struct added_tokens *tries[] = {&t->raw, &t->normalized};
    for (int i = 0; i < 2; i++) {
        int32_t id = added_tokens_find(tries[i], piece, len);
        if (id >= 0)
            return id;
    }
    return vocab_find(&t->vocab, piece, len);
}

/* One call of tokenizer_encode. */
struct encoding {
    const struct tokenizer *t;
    bool special;
    struct bpe_work work;
    struct id_list out;
};

static int encode_word(void *context, const char *word, size_t len, struct err *e)
{
    struct encoding *c = context;
    return bpe_encode(&c->t->bpe, word, len, &c->work, &c->out, e);
}

/* Text without added tokens. */
static int encode_plain(struct encoding *c, const char *text, size_t len, struct err *e)
{
    return len ? pretokenizer_split(&c->t->pre, text, len, encode_word, c, e) : 0;
}

/* Cuts the text at the added tokens of one trie; what lies between goes to `rest`. */
static int encode_around(struct encoding *c, const struct added_tokens *added, const char *text, size_t len,
                         int (*rest)(struct encoding *, const char *, size_t, struct err *), struct err *e)
{
    size_t at = 0;
    struct added_match m;
    while (added_tokens_next(added, text, len, at, c->special, &m)) {
        int rc = rest(c, text + at, m.start - at, e);
        if (!rc)
            rc = id_list_add(&c->out, m.id, e);
        if (rc)
            return rc;
        at = m.end;
    }
    return rest(c, text + at, len - at, e);
}

static int encode_normalized(struct encoding *c, const char *text, size_t len, struct err *e)
{
    if (!c->t->nfc || nfc_is_trivial(text, len))
        return encode_around(c, &c->t->normalized, text, len, encode_plain, e);
    struct buf normal;
    buf_init(&normal, 4u * MAX_TEXT_BYTES);
    int rc = nfc_append(&normal, text, len, e);
    if (!rc)
        rc = encode_around(c, &c->t->normalized, buf_str(&normal), normal.len, encode_plain, e);
    buf_deinit(&normal);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool parse_special, size_t max_tokens,
                     int32_t **ids, size_t *n, size_t *cap, struct err *e)
{
    if (len > MAX_TEXT_BYTES)
        return err_set(e, OL_ELIMIT, "tokenizer", "a text of %zu bytes, more than %d", len, MAX_TEXT_BYTES);
    struct buf valid;
    buf_init(&valid, 4u * MAX_TEXT_BYTES);
    if (utf8_valid_prefix(text, len) < len) {
        utf8_append_replaced(&valid, text, len);
        if (buf_failed(&valid))
            return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a text of %zu bytes", len);
        text = buf_str(&valid);
        len = valid.len;
    }
    struct encoding c = {.t = t, .special = parse_special, .out = {ids, n, cap, max_tokens}};
    int rc = encode_around(&c, &t->raw, text, len, encode_normalized, e);
    bpe_work_deinit(&c.work);
    buf_deinit(&valid);
    return rc;
}
