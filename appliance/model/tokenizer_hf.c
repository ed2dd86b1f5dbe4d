/* Reads a tokenizer.json with a byte-level BPE model: vocabulary, merges, added tokens. */
#include "model/tokenizer_hf.h"

#include "model/hf_dir.h"
#include "model/nfc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JSON_BYTES = 64 << 20 };

static struct text text_of(const json_t *string)
{
    return (struct text){json_string_value(string), json_string_length(string)};
}

/* Only plain BPE: whatever would change the ids is refused. */
static int check_model(const json_t *model, struct err *e)
{
    const char *type = NULL, *prefix = NULL, *suffix = NULL;
    bool byte_fallback = false, fuse_unknown = false;
    int rc = json_get_text(model, "type", &type, e);
    if (!rc)
        rc = json_get_text(model, "continuing_subword_prefix", &prefix, e);
    if (!rc)
        rc = json_get_text(model, "end_of_word_suffix", &suffix, e);
    if (!rc)
        rc = json_get_bool(model, "byte_fallback", &byte_fallback, e);
    if (!rc)
        rc = json_get_bool(model, "fuse_unk", &fuse_unknown, e);
    if (rc)
        return rc;
    if (type && strcmp(type, "BPE") != 0) /* files of old versions do not name it */
        return err_set(e, OL_EUNSUPPORTED, "tokenizer",
                       "tokenizer model \"%.40s\" is not supported: use byte-level BPE", type);
    if (byte_fallback)
        return err_set(
            e, OL_EUNSUPPORTED, "tokenizer",
            "tokenizer model BPE with byte_fallback (SentencePiece) is not supported yet: use byte-level BPE");
    if ((prefix && *prefix) || (suffix && *suffix) || fuse_unknown || json_is_real(json_object_get(model, "dropout")))
        return err_set(e, OL_EUNSUPPORTED, "tokenizer",
                       "BPE with subword prefix, word suffix, fuse_unk or dropout is not supported");
    return 0;
}

/* One more than the largest id in the file. */
static int vocab_size(const json_t *vocab, const json_t *added, size_t *out, struct err *e)
{
    json_int_t largest = -1;
    const char *key;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)vocab, key, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return err_set(e, OL_EFORMAT, "tokenizer", "the id of token \"%.40s\" is not a whole number", key);
        largest = json_integer_value(value) > largest ? json_integer_value(value) : largest;
    }
    json_array_foreach(added, i, value) {
        const json_t *id = json_object_get(value, "id");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_string(json_object_get(value, "content")))
            return err_set(e, OL_EFORMAT, "tokenizer", "added token %zu has no content or no id", i);
        largest = json_integer_value(id) > largest ? json_integer_value(id) : largest;
    }
    if (largest >= VOCAB_MAX_TOKENS)
        return err_set(e, OL_ELIMIT, "tokenizer", "token id %lld; ids up to %d are possible", (long long)largest,
                       VOCAB_MAX_TOKENS - 1);
    *out = (size_t)(largest + 1);
    return 0;
}

static int read_words(struct tokenizer *t, const json_t *vocab, const json_t *added, struct err *e)
{
    size_t n = 0;
    int rc = vocab_size(vocab, added, &n, e);
    if (!rc)
        rc = vocab_init(&t->vocab, n, e);
    void *at = json_object_iter((json_t *)vocab);
    for (; !rc && at; at = json_object_iter_next((json_t *)vocab, at)) {
        struct text spelling = {json_object_iter_key(at), json_object_iter_key_len(at)};
        rc = vocab_set_spelling(&t->vocab, json_integer_value(json_object_iter_value(at)), spelling, e);
    }
    return rc;
}

/* Added tokens lie apart from the words: those found after normalization in a trie of their own. */
static int read_added_token(struct tokenizer *t, const json_t *token, struct err *e)
{
    struct added_token a = {.id = (int32_t)json_integer_value(json_object_get(token, "id"))};
    struct text content = text_of(json_object_get(token, "content"));
    bool normalized = false;
    int rc = json_get_bool(token, "special", &a.special, e);
    if (!rc)
        rc = json_get_bool(token, "lstrip", &a.lstrip, e);
    if (!rc)
        rc = json_get_bool(token, "rstrip", &a.rstrip, e);
    if (!rc)
        rc = json_get_bool(token, "single_word", &a.single_word, e);
    if (!rc)
        rc = json_get_bool(token, "normalized", &normalized, e);
    if (!rc)
        rc = vocab_set_literal(&t->vocab, a.id, content, e);
    if (rc)
        return rc;
    t->vocab.tokens[a.id].special = a.special;
    if (!normalized || !t->nfc || nfc_is_trivial(content.data, content.len))
        return added_tokens_add(normalized ? &t->normalized : &t->raw, content, a, e);
    struct buf normal; /* it is looked for in normalized text */
    buf_init(&normal, 64 * ADDED_TOKEN_MAX_BYTES);
    rc = nfc_append(&normal, content.data, content.len, e);
    if (!rc)
        rc = added_tokens_add(&t->normalized, (struct text){buf_str(&normal), normal.len}, a, e);
    buf_deinit(&normal);
    return rc;
}

/* The position in the list is the rank. */
static int read_merges(struct tokenizer *t, const json_t *merges, struct err *e)
{
    size_t i;
    json_t *merge;
    int rc = 0;
    if (json_array_size(merges) > BPE_MAX_MERGES)
        return err_set(e, OL_ELIMIT, "tokenizer", "more than %d merges", BPE_MAX_MERGES);
    json_array_foreach(merges, i, merge) {
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_is_string(merge))
            rc = bpe_add_merge_line(&t->bpe, (uint32_t)i, text_of(merge), e);
        else if (json_is_string(left) && json_is_string(right) && json_array_size(merge) == 2)
            rc = bpe_add_merge(&t->bpe, (uint32_t)i, text_of(left), text_of(right), e);
        else
            rc = err_set(e, OL_EFORMAT, "tokenizer", "merge %zu is neither \"a b\" nor [\"a\", \"b\"]", i);
        if (rc)
            break;
    }
    return rc;
}

static int read_model(struct tokenizer *t, const json_t *root, struct err *e)
{
    const json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    const json_t *added = json_object_get(root, "added_tokens"), *merges = json_object_get(model, "merges");
    if (!json_is_object(model))
        return err_set(e, OL_EFORMAT, "tokenizer", "tokenizer.json has no model");
    int rc = check_model(model, e);
    if (rc)
        return rc;
    if (!json_is_object(vocab) || !json_is_array(merges))
        return err_set(e, OL_EFORMAT, "tokenizer", "tokenizer.json has no vocabulary or no merges");
    if ((rc = read_words(t, vocab, added, e)))
        return rc;
    size_t i;
    json_t *token;
    json_array_foreach(added, i, token) {
        if ((rc = read_added_token(t, token, e)))
            return rc;
    }
    if ((rc = vocab_index(&t->vocab, e)))
        return rc;
    bpe_init(&t->bpe, &t->vocab);
    const char *unknown = NULL;
    rc = json_get_text(model, "unk_token", &unknown, e);
    if (!rc && unknown)
        t->bpe.unknown_id = tokenizer_find(t, unknown, strlen(unknown));
    if (!rc)
        rc = json_get_bool(model, "ignore_merges", &t->bpe.ignore_merges, e);
    return rc ? rc : read_merges(t, merges, e);
}

static int read_file(const char *dir, json_t **out, struct err *e)
{
    char *path = hf_dir_join(dir, "tokenizer.json");
    if (!path)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a path");
    int rc = access(path, F_OK)
                 ? err_set(e, OL_EUNSUPPORTED, "tokenizer",
                           "%.150s has no tokenizer.json: only byte-level BPE tokenizers in that form are "
                           "supported",
                           dir)
                 : json_file_read(path, MAX_JSON_BYTES, out, e);
    free(path);
    return rc;
}

int tokenizer_open_json(const json_t *root, struct tokenizer **out, struct err *e)
{
    struct tokenizer *t = NULL;
    *out = NULL;
    int rc = tokenizer_alloc(&t, e);
    if (!rc)
        rc = tokenizer_hf_pipeline(t, root, e);
    if (!rc)
        rc = read_model(t, root, e);
    if (!rc && t->bos >= t->vocab.n)
        rc = err_set(e, OL_EFORMAT, "tokenizer", "the post_processor's first token is %d, outside the vocabulary of %d",
                     t->bos, t->vocab.n);
    if (rc) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

int tokenizer_open_dir(const char *dir, struct tokenizer **out, struct err *e)
{
    json_t *root = NULL;
    *out = NULL;
    int rc = read_file(dir, &root, e);
    if (!rc)
        rc = tokenizer_open_json(root, out, e);
    json_decref(root);
    if (!rc)
        rc = tokenizer_hf_settings(*out, dir, e);
    if (rc) {
        tokenizer_close(*out);
        *out = NULL;
    }
    return rc;
}
