/* The steps around BPE in a tokenizer.json. Supported: what byte-level models use. */
#include "model/tokenizer_hf.h"

#include <string.h>

static const char *type_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    return type ? type : "(no type)";
}

static bool is(const json_t *step, const char *type) { return strcmp(type_of(step), type) == 0; }

static int unsupported(const json_t *step, const char *what, struct err *e)
{
    return err_set(e, OL_EUNSUPPORTED, "tokenizer", "%s \"%.60s\" of tokenizer.json is not supported", what,
                   type_of(step));
}

/* The steps of a Sequence, or the one step itself: calls `read` for each. Sequences do not nest. */
static int each_step(struct tokenizer *t, const json_t *step, const char *members,
                     int (*read)(struct tokenizer *, const json_t *, struct err *), struct err *e)
{
    if (!step || json_is_null(step))
        return 0;
    if (!is(step, "Sequence"))
        return read(t, step, e);
    const json_t *list = json_object_get(step, members);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        int rc = read(t, item, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_normalizer(struct tokenizer *t, const json_t *step, struct err *e)
{
    if (!is(step, "NFC"))
        return unsupported(step, "normalizer", e);
    t->nfc = true;
    return 0;
}

/* A pattern that matches exactly this text. */
static void quote(struct text literal, struct buf *out)
{
    for (size_t i = 0; i < literal.len; i++) {
        unsigned char c = (unsigned char)literal.data[i];
        if (c > ' ' && c < 0x7f && !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", c))
            buf_add_char(out, '\\');
        buf_add_char(out, (char)c);
    }
}

static int read_split(struct tokenizer *t, const json_t *step, struct err *e)
{
    static const char *const names[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"};
    const char *behaviour = json_string_value(json_object_get(step, "behavior"));
    size_t b = 0;
    while (b < 5 && (!behaviour || strcmp(behaviour, names[b]) != 0))
        b++;
    if (b == 5)
        return err_set(e, OL_EUNSUPPORTED, "tokenizer", "Split with behavior \"%.40s\" is not supported",
                       behaviour ? behaviour : "(none)");
    bool invert = false;
    int rc = json_get_bool(step, "invert", &invert, e);
    if (rc)
        return rc;
    const json_t *pattern = json_object_get(step, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *literal = json_object_get(pattern, "String");
    if (json_is_string(regex))
        return pretokenizer_add(&t->pre, (struct text){json_string_value(regex), json_string_length(regex)},
                                (enum split_behaviour)b, invert, e);
    if (!json_is_string(literal) || !json_string_length(literal))
        return err_set(e, OL_EFORMAT, "tokenizer", "Split has neither a Regex nor a String");
    struct buf quoted;
    buf_init(&quoted, 2 * PRETOKENIZER_MAX_PATTERN_BYTES);
    quote((struct text){json_string_value(literal), json_string_length(literal)}, &quoted);
    rc = buf_failed(&quoted) ? err_set(e, OL_ELIMIT, "tokenizer", "Split has a String that is too long")
                             : pretokenizer_add(&t->pre, (struct text){buf_str(&quoted), quoted.len},
                                                (enum split_behaviour)b, invert, e);
    buf_deinit(&quoted);
    return rc;
}

static int read_digits(struct tokenizer *t, const json_t *step, struct err *e)
{
    bool individual = false;
    int rc = json_get_bool(step, "individual_digits", &individual, e);
    return rc ? rc : pretokenizer_add(&t->pre, (struct text){"\\p{N}", 5},
                                      individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, e);
}

static int read_byte_level(struct tokenizer *t, const json_t *step, struct err *e)
{
    bool prefix_space = true, use_regex = true;
    int rc = json_get_bool(step, "add_prefix_space", &prefix_space, e);
    if (!rc)
        rc = json_get_bool(step, "use_regex", &use_regex, e);
    if (!rc && prefix_space)
        rc = err_set(e, OL_EUNSUPPORTED, "tokenizer", "ByteLevel with add_prefix_space is not supported");
    if (!rc && use_regex)
        rc = pretokenizer_add(&t->pre, (struct text){pretokenizer_gpt2_pattern, strlen(pretokenizer_gpt2_pattern)},
                              SPLIT_ISOLATED, false, e);
    t->byte_level = true;
    return rc;
}

static int read_pre_tokenizer(struct tokenizer *t, const json_t *step, struct err *e)
{
    if (t->byte_level) /* it would see the byte alphabet, not the text */
        return err_set(e, OL_EUNSUPPORTED, "tokenizer", "pre_tokenizer \"%.60s\" after ByteLevel is not supported",
                       type_of(step));
    if (is(step, "Split"))
        return read_split(t, step, e);
    if (is(step, "Digits"))
        return read_digits(t, step, e);
    if (is(step, "ByteLevel"))
        return read_byte_level(t, step, e);
    return unsupported(step, "pre_tokenizer", e);
}

/* TemplateProcessing: nothing, or one token, in front of the text. */
static int read_template(struct tokenizer *t, const json_t *step, struct err *e)
{
    const json_t *single = json_object_get(step, "single"), *names = json_object_get(step, "special_tokens");
    size_t n = json_array_size(single);
    const json_t *last = n ? json_array_get(single, n - 1) : NULL;
    if (n < 1 || n > 2 || !json_object_get(last, "Sequence"))
        return err_set(e, OL_EUNSUPPORTED, "tokenizer",
                       "a post_processor that adds more than one token in front of the "
                       "text is not supported");
    if (n == 1)
        return 0;
    const char *name =
        json_string_value(json_object_get(json_object_get(json_array_get(single, 0), "SpecialToken"), "id"));
    const json_t *ids = name ? json_object_get(json_object_get(names, name), "ids") : NULL;
    const json_t *id = json_array_get(ids, 0);
    if (!json_is_integer(id) || json_array_size(ids) != 1 || json_integer_value(id) < 0 ||
        json_integer_value(id) >= VOCAB_MAX_TOKENS)
        return err_set(e, OL_EFORMAT, "tokenizer", "the post_processor's first token has no id");
    t->bos = (int32_t)json_integer_value(id);
    t->adds_bos = true;
    return 0;
}

static int read_post_processor(struct tokenizer *t, const json_t *step, struct err *e)
{
    if (is(step, "ByteLevel")) /* changes offsets only */
        return 0;
    return is(step, "TemplateProcessing") ? read_template(t, step, e) : unsupported(step, "post_processor", e);
}

int tokenizer_hf_pipeline(struct tokenizer *t, const json_t *root, struct err *e)
{
    int rc = each_step(t, json_object_get(root, "normalizer"), "normalizers", read_normalizer, e);
    if (!rc)
        rc = each_step(t, json_object_get(root, "pre_tokenizer"), "pretokenizers", read_pre_tokenizer, e);
    if (!rc && !t->byte_level)
        rc = err_set(e, OL_EUNSUPPORTED, "tokenizer",
                     "a tokenizer without the ByteLevel pre_tokenizer (SentencePiece) is "
                     "not supported yet: use byte-level BPE");
    return rc ? rc : each_step(t, json_object_get(root, "post_processor"), "processors", read_post_processor, e);
}
