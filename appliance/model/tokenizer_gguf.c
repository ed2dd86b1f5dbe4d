/* Reads a tokenizer from a GGUF file's metadata. */
#include "model/tokenizer_private.h"

#include <string.h>

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 }; /* tokenizer.ggml.token_type */

#define LLAMA3_PATTERN \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2_PATTERN \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN_PATTERN \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" \
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* What tokenizer.ggml.pre stands for. Each pattern isolates its matches, one stage after the other. */
static const struct pre_rule {
    const char *name;
    const char *patterns[2];
    bool ignore_merges, adds_bos, nfc;
} pre_rules[] = {
    {"default", {pretokenizer_gpt2_pattern}, false, false, false},
    {"gpt-2", {pretokenizer_gpt2_pattern}, false, false, false},
    {"llama-bpe", {LLAMA3_PATTERN}, true, true, false},
    {"llama3", {LLAMA3_PATTERN}, true, true, false},
    {"llama-v3", {LLAMA3_PATTERN}, true, true, false},
    {"smaug-bpe", {LLAMA3_PATTERN}, false, false, false},
    {"smollm", {"\\p{N}", pretokenizer_gpt2_pattern}, false, false, false},
    {"qwen2", {QWEN2_PATTERN}, false, false, true},
    {"deepseek-r1-qwen", {QWEN2_PATTERN}, false, true, false},
    {"tekken", {TEKKEN_PATTERN}, true, true, false},
};

static bool same(struct text t, const char *s) { return t.len == strlen(s) && !memcmp(t.data, s, t.len); }

/* Files without tokenizer.ggml.pre are old: they were written for GPT-2's rule. */
static int find_rule(const struct gguf *g, const struct pre_rule **out, struct err *e)
{
    struct text model, pre = {"default", 7};
    if (!gguf_text(g, "tokenizer.ggml.model", &model))
        return err_set(e, OL_EFORMAT, "tokenizer", "the file has no tokenizer (no tokenizer.ggml.model)");
    if (!same(model, "gpt2"))
        return err_set(e, OL_EUNSUPPORTED, "tokenizer",
                       "tokenizer model \"%.*s\"%s is not supported yet: use a model with byte-level BPE (\"gpt2\")",
                       (int)(model.len < 40 ? model.len : 40), model.data,
                       same(model, "llama") ? " (SentencePiece)" : "");
    gguf_text(g, "tokenizer.ggml.pre", &pre);
    for (size_t i = 0; i < sizeof pre_rules / sizeof *pre_rules; i++)
        if (same(pre, pre_rules[i].name)) {
            *out = &pre_rules[i];
            return 0;
        }
    return err_set(e, OL_EUNSUPPORTED, "tokenizer", "pre-tokenizer \"%.*s\" is not supported",
                   (int)(pre.len < 40 ? pre.len : 40), pre.data);
}

/* Every token is a word first, since merges may name added tokens; those are literal text besides. */
static int read_token(struct tokenizer *t, const struct gguf *g, size_t i, struct err *e)
{
    struct text spelling;
    int64_t type = 1;
    if (!gguf_array_text(g, "tokenizer.ggml.tokens", i, &spelling))
        return err_set(e, OL_EFORMAT, "tokenizer", "tokenizer.ggml.tokens is not an array of strings");
    gguf_array_i64(g, "tokenizer.ggml.token_type", i, &type);
    int rc = vocab_set_spelling(&t->vocab, (int64_t)i, spelling, e);
    if (rc || (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED))
        return rc;
    bool special = type != TYPE_USER_DEFINED;
    t->vocab.tokens[i].special = special;
    rc = vocab_set_literal(&t->vocab, (int64_t)i, spelling, e);
    return rc ? rc : added_tokens_add(&t->raw, spelling, (struct added_token){.id = (int32_t)i, .special = special}, e);
}

static int read_vocab(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    size_t n = gguf_array_len(g, "tokenizer.ggml.tokens");
    int rc = vocab_init(&t->vocab, n, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = read_token(t, g, i, e);
    return rc ? rc : vocab_index(&t->vocab, e);
}

static int read_merges(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    bpe_init(&t->bpe, &t->vocab);
    size_t n = gguf_array_len(g, "tokenizer.ggml.merges");
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        struct text line;
        if (!gguf_array_text(g, "tokenizer.ggml.merges", i, &line))
            return err_set(e, OL_EFORMAT, "tokenizer", "tokenizer.ggml.merges is not an array of strings");
        rc = i < BPE_MAX_MERGES ? bpe_add_merge_line(&t->bpe, (uint32_t)i, line, e)
                                : err_set(e, OL_ELIMIT, "tokenizer", "more than %d merges", BPE_MAX_MERGES);
    }
    return rc;
}

/* The id of a key such as "tokenizer.ggml.eos_token_id"; −1 if there is none. */
static int read_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t *out, struct err *e)
{
    uint64_t id;
    *out = -1;
    if (!gguf_u64(g, key, &id))
        return 0;
    if (id >= (uint64_t)t->vocab.n)
        return err_set(e, OL_EFORMAT, "tokenizer", "%s is %llu, outside the vocabulary of %d", key,
                       (unsigned long long)id, t->vocab.n);
    *out = (int32_t)id;
    return 0;
}

/* The pre-tokenizer's name implies whether BOS is added; the key of that name has the last word. */
static int read_rest(struct tokenizer *t, const struct gguf *g, const struct pre_rule *rule, struct err *e)
{
    int32_t eot, eom;
    int rc = read_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos, e);
    if (!rc)
        rc = read_id(t, g, "tokenizer.ggml.eos_token_id", &t->eos, e);
    if (!rc)
        rc = read_id(t, g, "tokenizer.ggml.eot_token_id", &eot, e);
    if (!rc)
        rc = read_id(t, g, "tokenizer.ggml.eom_token_id", &eom, e);
    if (!rc)
        rc = read_id(t, g, "tokenizer.ggml.unknown_token_id", &t->bpe.unknown_id, e);
    if (rc)
        return rc;
    tokenizer_set_end(t, t->eos);
    tokenizer_set_end(t, eot);
    tokenizer_set_end(t, eom);
    tokenizer_set_known_ends(t);
    t->adds_bos = rule->adds_bos;
    gguf_bool(g, "tokenizer.ggml.add_bos_token", &t->adds_bos);
    t->bpe.ignore_merges = rule->ignore_merges;
    t->nfc = rule->nfc;
    struct text source;
    if (gguf_text(g, "tokenizer.chat_template", &source) && source.len)
        rc = tokenizer_set_template(t, source, e);
    for (int i = 0; !rc && i < 2 && rule->patterns[i]; i++)
        rc = pretokenizer_add(&t->pre, (struct text){rule->patterns[i], strlen(rule->patterns[i])}, SPLIT_ISOLATED,
                              false, e);
    return rc;
}

int tokenizer_open_gguf(const struct gguf *g, struct tokenizer **out, struct err *e)
{
    const struct pre_rule *rule = NULL;
    struct tokenizer *t = NULL;
    *out = NULL;
    int rc = find_rule(g, &rule, e);
    if (!rc)
        rc = tokenizer_alloc(&t, e);
    if (!rc)
        rc = read_vocab(t, g, e);
    if (!rc)
        rc = read_merges(t, g, e);
    if (!rc)
        rc = read_rest(t, g, rule, e);
    if (rc) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}
