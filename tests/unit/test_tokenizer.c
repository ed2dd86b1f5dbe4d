/* Tokenizers: the interface, limits, and files that must be refused by name. That ids are right is shown against the
 * tokenizers library by tests/golden/test_tokenizer.py. */
#include "model/tokenizer_private.h"
#include "model/utf8.h"
#include "model_files.h"

/* --- a small tokenizer.json --- */

static bool stands_for_itself(int byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* How a byte is spelled in the byte alphabet: the others are U+0100 and so on, in order. */
static void spell(int byte, char out[3])
{
    uint32_t c = 0x100;
    for (int b = 0; b < byte; b++)
        c += !stands_for_itself(b);
    struct buf b;
    buf_init(&b, 8);
    utf8_append(&b, stands_for_itself(byte) ? (uint32_t)byte : c);
    memcpy(out, b.data, b.len + 1);
    buf_deinit(&b);
}

/* Bytes are ids 0-255; then he 256, ll 257, hell 258, no 259, <s> 260 special, <t> 261 plain. */
static json_t *small_json(void)
{
    json_t *root = json_pack(
        "{s:[{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b}],s:n,s:{s:s,s:b,s:b},s:n,s:{s:s,s:b,s:{s:i,s:i,s:i},s:[s,[s,s],s]}}",
        "added_tokens", "id", 260, "content", "<s>", "special", 1, "normalized", 0, "id", 261, "content", "<t>",
        "special", 0, "normalized", 0, "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0,
        "use_regex", 1, "post_processor", "model", "type", "BPE", "ignore_merges", 0, "vocab", "he", 256, "ll", 257,
        "hell", 258, "merges", "h e", "l", "l", "he ll");
    ck_assert_ptr_nonnull(root);
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    for (int i = 0; i < 256; i++) {
        char letter[3];
        spell(i, letter);
        ck_assert_int_eq(json_object_set_new(vocab, letter, json_integer(i)), 0);
    }
    return root;
}

static struct tokenizer *open_small(void)
{
    struct tokenizer *t = NULL;
    struct err e = {0};
    json_t *root = small_json();
    ck_assert_msg(!tokenizer_open_json(root, &t, &e), "%s", e.message);
    json_decref(root);
    return t;
}

static void assert_ids(const struct tokenizer *t, const char *text, size_t len, bool special, const char *want)
{
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    struct err e = {0};
    struct buf got;
    buf_init(&got, 4096);
    ck_assert_msg(!tokenizer_encode(t, text, len, special, 1000, &ids, &n, &cap, &e), "%s", e.message);
    for (size_t i = 0; i < n; i++)
        buf_printf(&got, "%s%d", i ? " " : "", ids[i]);
    ck_assert_str_eq(buf_str(&got), want);
    buf_deinit(&got);
    free(ids);
}

START_TEST(encodes)
{
    struct tokenizer *t = open_small();
    assert_ids(t, "", 0, true, "");
    assert_ids(t, "hell", 4, true, "258");
    assert_ids(t, "hello", 5, true, "258 111");
    assert_ids(t, "hehell", 6, true, "256 258");
    assert_ids(t, "lll", 3, true, "257 108");
    assert_ids(t, "a<s>b", 5, true, "97 260 98");
    assert_ids(t, "a<s>", 4, false, "97 60 115 62");
    assert_ids(t, "<t>", 3, false, "261");
    assert_ids(t, "<t", 2, true, "60 116");
    assert_ids(t, "a\0b", 3, true, "97 0 98");
    tokenizer_close(t);
}
END_TEST

START_TEST(replaces_invalid_utf8)
{
    static const struct {
        const char *text;
        int replacements; /* maximal subparts */
    } cases[] = {{"\x80", 1}, {"\xc3", 1}, {"\xe2\x82", 1}, {"\xf0\x9f\x99", 1}, {"\xc0\x80", 2}, {"\xed\xa0\x80", 3},
                 {"\xf4\x90\x80\x80", 4}, {"\xe2\x82\xe2\x82", 2}, {"\xff\xfe", 2}, {"\xe0\x80", 2}};
    struct tokenizer *t = open_small();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[100] = "";
        for (int k = 0; k < cases[i].replacements; k++)
            snprintf(want + strlen(want), sizeof want - strlen(want), "%s239 191 189", k ? " " : "");
        assert_ids(t, cases[i].text, strlen(cases[i].text), true, want);
    }
    tokenizer_close(t);
}
END_TEST

START_TEST(appends_and_stops_at_the_limit)
{
    struct tokenizer *t = open_small();
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    struct err e = {0};
    ck_assert_int_eq(tokenizer_encode(t, "ab", 2, true, 4, &ids, &n, &cap, &e), 0);
    ck_assert_int_eq(tokenizer_encode(t, "cd", 2, true, 4, &ids, &n, &cap, &e), 0);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(ids[3], 'd');
    assert_refused(tokenizer_encode(t, "e", 1, true, 4, &ids, &n, &cap, &e), e, OL_ELIMIT, "more than 4 tokens");
    ck_assert_uint_eq(n, 4);
    free(ids);
    tokenizer_close(t);
}
END_TEST

START_TEST(knows_its_tokens)
{
    struct tokenizer *t = open_small();
    ck_assert_int_eq(tokenizer_vocab(t), 262);
    ck_assert_int_eq(tokenizer_find(t, "<s>", 3), 260);
    ck_assert_int_eq(tokenizer_find(t, "hell", 4), 258);
    ck_assert_int_eq(tokenizer_find(t, "<s", 2), -1);
    ck_assert(tokenizer_is_special(t, 260) && !tokenizer_is_special(t, 261) && !tokenizer_is_special(t, -1));
    ck_assert(!tokenizer_is_eog(t, 260) && !tokenizer_is_eog(t, 1 << 20));
    ck_assert_uint_eq(tokenizer_bytes(t, 259).len, 0); /* an id that the file leaves out */
    ck_assert_uint_eq(tokenizer_bytes(t, 262).len, 0);
    ck_assert_uint_eq(tokenizer_bytes(t, -1).len, 0);
    ck_assert_int_eq(tokenizer_bytes(t, 32).data[0], ' ');
    tokenizer_close(t);
}
END_TEST

START_TEST(detokenizes_whole_characters)
{
    static const struct {
        const char *bytes, *after_each, *want; /* after_each: bytes out so far, as digits */
    } cases[] = {{"a\xc3\xa9", "113", "a\xc3\xa9"},
                 {"\xf0\x9f\x99\x82", "0004", "\xf0\x9f\x99\x82"},
                 {"\xe2\x82"
                  "a",
                  "004", "\xef\xbf\xbd"
                         "a"},
                 {"\xff\xc3", "33", "\xef\xbf\xbd\xef\xbf\xbd"}};
    struct tokenizer *t = open_small();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct detokenizer d = {.n_pending = 0};
        struct buf out;
        buf_init(&out, 100);
        for (size_t k = 0; cases[i].bytes[k]; k++) {
            detokenizer_push(&d, t, (unsigned char)cases[i].bytes[k], true, &out);
            ck_assert_uint_eq(out.len, (size_t)(cases[i].after_each[k] - '0'));
        }
        detokenizer_push(&d, t, 260, false, &out); /* hidden */
        detokenizer_finish(&d, &out);
        ck_assert_str_eq(buf_str(&out), cases[i].want);
        buf_deinit(&out);
    }
    tokenizer_close(t);
}
END_TEST

/* --- refusals: `path` in the good file is replaced by the JSON `value` --- */

static const struct {
    const char *path, *value;
    int code;
    const char *says;
} faults[] = {
    {"model.type", "\"Unigram\"", OL_EUNSUPPORTED, "Unigram"},
    {"model.byte_fallback", "true", OL_EUNSUPPORTED, "SentencePiece"},
    {"model.fuse_unk", "true", OL_EUNSUPPORTED, "fuse_unk"},
    {"model.dropout", "0.1", OL_EUNSUPPORTED, "dropout"},
    {"model.end_of_word_suffix", "\"</w>\"", OL_EUNSUPPORTED, "suffix"},
    {"model.vocab", "[]", OL_EFORMAT, "vocabulary"},
    {"model.vocab", "{}", OL_EFORMAT, "is not made of tokens"},
    {"model.vocab", "{\"a\": -1}", OL_EFORMAT, "id"},
    {"model.vocab", "{\"a\": 2097152}", OL_ELIMIT, "2097152"},
    {"model.vocab", "{\"a\": \"b\"}", OL_EFORMAT, "id"},
    {"model.merges", "null", OL_EFORMAT, "merges"},
    {"model.merges", "[\"he\"]", OL_EFORMAT, "space"},
    {"model.merges", "[\"h x\"]", OL_EFORMAT, "\"h\" + \"x\""},
    {"model.merges", "[[\"h\"]]", OL_EFORMAT, "merge 0"},
    {"model.merges", "[[\"h\", 1]]", OL_EFORMAT, "merge 0"},
    {"model.merges", "[[\"\", \"h\"]]", OL_EFORMAT, "merge 0"},
    {"model", "7", OL_EFORMAT, "model"},
    {"added_tokens", "[{\"id\": 3}]", OL_EFORMAT, "added token 0"},
    {"added_tokens", "[{\"id\": -3, \"content\": \"x\"}]", OL_EFORMAT, "added token 0"},
    {"added_tokens", "[{\"id\": 9999999, \"content\": \"x\"}]", OL_ELIMIT, "9999999"},
    {"added_tokens", "[{\"id\": 3, \"content\": \"x\", \"lstrip\": 1}]", OL_EFORMAT, "lstrip"},
    {"normalizer", "{\"type\": \"Lowercase\"}", OL_EUNSUPPORTED, "Lowercase"},
    {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"NFKC\"}]}",
     OL_EUNSUPPORTED, "NFKC"},
    {"pre_tokenizer", "null", OL_EUNSUPPORTED, "ByteLevel"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\"}", OL_EUNSUPPORTED, "Metaspace"},
    {"pre_tokenizer", "{\"type\": \"ByteLevel\"}", OL_EUNSUPPORTED, "add_prefix_space"},
    {"pre_tokenizer",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", \"add_prefix_space\": false}, {\"type\": "
     "\"Digits\"}]}",
     OL_EUNSUPPORTED, "after ByteLevel"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Sideways\"}", OL_EUNSUPPORTED, "Sideways"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\"}", OL_EFORMAT, "Regex"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"(\"}}",
     OL_EUNSUPPORTED, "\"(\""},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"[a&&b]\"}}",
     OL_EUNSUPPORTED, "set"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"[a[b]]\"}}",
     OL_EUNSUPPORTED, "set"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"\\\\C\"}}",
     OL_EUNSUPPORTED, "\\C"},
    {"post_processor", "{\"type\": \"BertProcessing\"}", OL_EUNSUPPORTED, "BertProcessing"},
    {"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {}}, {\"SpecialToken\": {}}]}",
     OL_EUNSUPPORTED, "post_processor"},
    {"post_processor",
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, {\"Sequence\": {}}], "
     "\"special_tokens\": {\"<s>\": {\"ids\": [300]}}}",
     OL_EFORMAT, "300"},
};

static void replace_member(json_t *root, const char *path, const char *value)
{
    const char *dot = strchr(path, '.');
    json_t *object = root;
    if (dot) {
        char outer[32];
        snprintf(outer, sizeof outer, "%.*s", (int)(dot - path), path);
        object = json_object_get(root, outer);
    }
    json_t *v = json_loads(value, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(json_object_set_new(object, dot ? dot + 1 : path, v), 0);
}

START_TEST(refuses_each_fault_by_name)
{
    json_t *root = small_json();
    struct tokenizer *t;
    struct err e = {0};
    replace_member(root, faults[_i].path, faults[_i].value);
    assert_refused(tokenizer_open_json(root, &t, &e), e, faults[_i].code, faults[_i].says);
    ck_assert_ptr_null(t);
    json_decref(root);
}
END_TEST

/* Patterns that backtrack without end give an error, not a hang. */
START_TEST(hostile_patterns_end)
{
    static const char *const patterns[] = {"(a+)+$", "(a|aa)+$", "(?:a*)*b", "(a*)*\\\\1b"};
    char text[4000], value[200];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '!';
    snprintf(value, sizeof value,
             "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": \"Isolated\", "
             "\"pattern\": {\"Regex\": "
             "\"%s\"}}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}",
             patterns[_i]);
    json_t *root = small_json();
    replace_member(root, "pre_tokenizer", value);
    struct tokenizer *t;
    struct err e = {0};
    ck_assert_msg(!tokenizer_open_json(root, &t, &e), "%s", e.message);
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    int rc = tokenizer_encode(t, text, sizeof text, true, 100000, &ids, &n, &cap, &e);
    ck_assert_msg(rc == 0 || rc == OL_ELIMIT, "%d %s", rc, e.message);
    free(ids);
    tokenizer_close(t);
    json_decref(root);
}
END_TEST

/* --- GGUF --- */

static void gguf_tokens(struct gguf_file *g, const char *model, const char *pre, uint32_t eos)
{
    gguf_file_text(g, "tokenizer.ggml.model", model);
    gguf_file_text(g, "tokenizer.ggml.pre", pre);
    gguf_file_u32(g, "tokenizer.ggml.eos_token_id", eos);
    gguf_file_key(g, "tokenizer.ggml.tokens", 9);
    put_u32(&g->keys, 8);
    put_u64(&g->keys, 4);
    static const char *const tokens[] = {"a", "b", "ab", "<e>"};
    for (int i = 0; i < 4; i++)
        put_text(&g->keys, tokens[i]);
    gguf_file_key(g, "tokenizer.ggml.token_type", 9);
    put_u32(&g->keys, 5);
    put_u64(&g->keys, 4);
    for (int i = 0; i < 4; i++)
        put_u32(&g->keys, i == 3 ? 3 : 1);
    gguf_file_key(g, "tokenizer.ggml.merges", 9);
    put_u32(&g->keys, 8);
    put_u64(&g->keys, 1);
    put_text(&g->keys, "a b");
}

static int open_gguf(const char *model, const char *pre, uint32_t eos, struct gguf **g, struct buf *bytes,
                     struct tokenizer **t, struct err *e)
{
    struct gguf_file file;
    gguf_file_begin(&file);
    gguf_tokens(&file, model, pre, eos);
    gguf_file_end(&file, bytes);
    ck_assert_msg(!gguf_parse(bytes->data, bytes->len, g, e), "%s", e->message);
    return tokenizer_open_gguf(*g, t, e);
}

START_TEST(opens_and_refuses_gguf)
{
    static const struct {
        const char *model, *pre;
        uint32_t eos;
        int code;
        const char *says;
    } cases[] = {{"gpt2", "gpt-2", 3, 0, ""},
                 {"llama", "default", 3, OL_EUNSUPPORTED, "\"llama\" (SentencePiece) is not supported yet"},
                 {"bert", "default", 3, OL_EUNSUPPORTED, "\"bert\""},
                 {"gpt2", "made-up", 3, OL_EUNSUPPORTED, "\"made-up\""},
                 {"gpt2", "qwen2", 4, OL_EFORMAT, "eos_token_id is 4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf *g = NULL;
        struct tokenizer *t = NULL;
        struct buf bytes;
        struct err e = {0};
        int rc = open_gguf(cases[i].model, cases[i].pre, cases[i].eos, &g, &bytes, &t, &e);
        if (cases[i].code)
            assert_refused(rc, e, cases[i].code, cases[i].says);
        else {
            ck_assert_msg(!rc, "%s", e.message);
            assert_ids(t, "abxa<e>", 7, true, "2 0 3"); /* no token for "x", none for the unknown: dropped */
            ck_assert(tokenizer_is_eog(t, 3) && tokenizer_eos(t) == 3 && tokenizer_bos(t) == -1 &&
                      !tokenizer_adds_bos(t));
        }
        tokenizer_close(t);
        gguf_close(g);
        buf_deinit(&bytes);
    }
}
END_TEST

/* --- the files beside tokenizer.json --- */

START_TEST(reads_a_directory)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "generation_config.json", "chat_template.jinja"};
    static const char *const texts[] = {
        "{\"eos_token\": \"<t>\", \"add_bos_token\": true, \"chat_template\": [{\"name\": \"rag\", "
        "\"template\": \"no\"}, {\"name\": \"default\", \"template\": \"yes\"}]}",
        "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"<s>\"}", "{\"eos_token_id\": [65, 66, 99999]}"};
    char *folder = scratch_make();
    json_t *root = small_json();
    char *text = json_dumps(root, 0);
    scratch_write(folder, names[0], text, strlen(text));
    for (int i = 0; i < 3; i++)
        scratch_write(folder, names[i + 1], texts[i], strlen(texts[i]));
    struct tokenizer *t = NULL;
    struct err e = {0};
    ck_assert_msg(!tokenizer_open_dir(folder, &t, &e), "%s", e.message);
    ck_assert_int_eq(tokenizer_bos(t), 260);
    ck_assert_int_eq(tokenizer_eos(t), 261);
    ck_assert(tokenizer_adds_bos(t) && tokenizer_is_eog(t, 65) && tokenizer_is_eog(t, 261) &&
              !tokenizer_is_eog(t, 260));
    ck_assert_str_eq(tokenizer_chat_template(t), "yes");
    tokenizer_close(t);
    scratch_write(folder, names[4], "newest", 6);
    ck_assert_msg(!tokenizer_open_dir(folder, &t, &e), "%s", e.message);
    ck_assert_str_eq(tokenizer_chat_template(t), "newest");
    tokenizer_close(t);
    free(text);
    json_decref(root);
    scratch_remove(folder, names, 5);
    assert_refused(tokenizer_open_dir("/nonexistent", &t, &e), e, OL_EUNSUPPORTED, "tokenizer.json");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *c = tcase_create("tokenizer");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, encodes);
    tcase_add_test(c, replaces_invalid_utf8);
    tcase_add_test(c, appends_and_stops_at_the_limit);
    tcase_add_test(c, knows_its_tokens);
    tcase_add_test(c, detokenizes_whole_characters);
    tcase_add_loop_test(c, refuses_each_fault_by_name, 0, (int)(sizeof faults / sizeof *faults));
    tcase_add_loop_test(c, hostile_patterns_end, 0, 4);
    tcase_add_test(c, opens_and_refuses_gguf);
    tcase_add_test(c, reads_a_directory);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
