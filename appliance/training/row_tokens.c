#include "training/row_tokens.h"

#include "model/chat_template.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "row"

enum { MAX_TEXT_BYTES = 64 << 20 };

struct row_encoder {
    struct tokenizer *tokenizer;
    struct chat_template *template; /* NULL: the model has none */
};

int row_encoder_open(const struct model_file *file, struct row_encoder **out, struct err *e)
{
    const struct gguf *gguf = model_file_gguf(file);
    struct row_encoder *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return err_set(e, OL_ENOMEM, MODULE, "no memory");
    int rc = gguf ? tokenizer_open_gguf(gguf, &r->tokenizer, e)
                  : tokenizer_open_dir(model_file_dir(file), &r->tokenizer, e);
    const char *source = rc ? NULL : tokenizer_chat_template(r->tokenizer);
    if (source)
        rc = chat_template_compile(source, &r->template, e);
    if (rc) {
        row_encoder_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void row_encoder_close(struct row_encoder *r)
{
    if (!r)
        return;
    chat_template_free(r->template);
    tokenizer_close(r->tokenizer);
    free(r);
}

const struct tokenizer *row_encoder_tokenizer(const struct row_encoder *r) { return r->tokenizer; }

void row_tokens_deinit(struct row_tokens *t)
{
    free(t->tokens);
    free(t->taught);
    *t = (struct row_tokens){0};
}

static int push(struct row_tokens *t, int32_t id, bool taught, struct err *e)
{
    if (t->n == ROW_MAX_TOKENS)
        return err_set(e, OL_ELIMIT, MODULE, "more than %d tokens", ROW_MAX_TOKENS);
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 256;
        uint32_t *tokens = realloc(t->tokens, cap * sizeof *tokens);
        t->tokens = tokens ? tokens : t->tokens;
        bool *flags = tokens ? realloc(t->taught, cap * sizeof *flags) : NULL;
        t->taught = flags ? flags : t->taught;
        if (!flags)
            return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tokens", cap);
        t->cap = cap;
    }
    t->tokens[t->n] = (uint32_t)id;
    t->taught[t->n++] = taught;
    return 0;
}

/* Context, the assistant's turn (taught up to its first end-of-turn token, which is added if the template has none) or
 * plain text. */
enum piece { PIECE_CONTEXT, PIECE_TURN, PIECE_TEXT };

static int push_text(const struct row_encoder *r, const char *text, size_t len, enum piece piece, struct row_tokens *t,
                     struct err *e)
{
    int32_t *ids = NULL, eos = tokenizer_eos(r->tokenizer);
    size_t n = 0, cap = 0;
    bool taught = piece != PIECE_CONTEXT;
    int rc = tokenizer_encode(r->tokenizer, text, len, piece != PIECE_TEXT, ROW_MAX_TOKENS, &ids, &n, &cap, e);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = push(t, ids[i], taught, e);
        if (piece == PIECE_TURN && tokenizer_is_eog(r->tokenizer, ids[i]))
            taught = false;
    }
    if (!rc && piece == PIECE_TURN && taught && eos >= 0)
        rc = push(t, eos, true, e);
    free(ids);
    return rc;
}

static int check_content(const struct row_encoder *r, const struct chat_message *m, struct err *e)
{
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    int rc = tokenizer_encode(r->tokenizer, m->content, strlen(m->content), true, ROW_MAX_TOKENS, &ids, &n, &cap, e);
    for (size_t i = 0; i < n && !rc; i++)
        if (tokenizer_is_special(r->tokenizer, ids[i])) {
            struct text name = tokenizer_bytes(r->tokenizer, ids[i]);
            rc = err_set(e, OL_EFORMAT, MODULE, "the %s's words contain the special token %.*s", m->role,
                         (int)(name.len < 40 ? name.len : 40), name.data);
        }
    free(ids);
    return rc;
}

static bool set_token(json_t *variables, const char *name, const struct tokenizer *t, int32_t id)
{
    struct text text = id >= 0 ? tokenizer_bytes(t, id) : (struct text){"", 0};
    return json_object_set_new(variables, name, json_stringn(text.data, text.len)) == 0;
}

/* The first n messages as the template writes them. */
static int render(const struct row_encoder *r, const struct training_row *row, size_t n, bool prompt, struct buf *out,
                  struct err *e)
{
    json_t *messages = json_array();
    bool ok = messages != NULL;
    for (size_t i = 0; i < n && ok; i++)
        ok = json_array_append_new(messages, json_pack("{ss ss}", "role", row->messages[i].role, "content",
                                                       row->messages[i].content)) == 0;
    json_t *variables = json_pack("{so sb}", "messages", messages, "add_generation_prompt", prompt);
    ok = ok && variables && set_token(variables, "bos_token", r->tokenizer, tokenizer_bos(r->tokenizer)) &&
         set_token(variables, "eos_token", r->tokenizer, tokenizer_eos(r->tokenizer));
    buf_reset(out);
    int rc = ok ? chat_template_render(r->template, variables, out, e)
                : err_set(e, OL_ENOMEM, MODULE, "no memory for %zu messages", n);
    json_decref(variables);
    return rc;
}

/* What is new in the rendering of more messages: all behind `before`, with which it must begin. */
static int push_rest(const struct row_encoder *r, const struct buf *before, const struct buf *text, enum piece piece,
                     struct row_tokens *t, struct err *e)
{
    if (text->len < before->len || memcmp(buf_str(text), buf_str(before), before->len) != 0)
        return err_set(e, OL_EUNSUPPORTED, MODULE,
                       "the model's chat template writes earlier turns otherwise than it did "
                       "when they were the last: give each of the assistant's turns a row of its own");
    return push_text(r, buf_str(text) + before->len, text->len - before->len, piece, t, e);
}

static int encode_turns(const struct row_encoder *r, const struct training_row *row, struct row_tokens *t,
                        struct err *e)
{
    struct buf prompt, turn; /* the conversation up to the assistant's turn, and with it */
    int rc = 0;
    buf_init(&prompt, MAX_TEXT_BYTES);
    buf_init(&turn, MAX_TEXT_BYTES);
    for (size_t i = 0; i < row->n_messages && !rc; i++) {
        if (strcmp(row->messages[i].role, "assistant") != 0)
            continue;
        rc = render(r, row, i, true, &prompt, e);
        if (!rc)
            rc = push_rest(r, &turn, &prompt, PIECE_CONTEXT, t, e);
        if (!rc)
            rc = render(r, row, i + 1, false, &turn, e);
        if (!rc)
            rc = push_rest(r, &prompt, &turn, PIECE_TURN, t, e);
    }
    buf_deinit(&prompt);
    buf_deinit(&turn);
    return rc;
}

int row_encode(const struct row_encoder *r, const struct training_row *row, struct row_tokens *out, struct err *e)
{
    int rc = 0;
    out->n = 0;
    if (row->text) {
        if (tokenizer_adds_bos(r->tokenizer))
            rc = push(out, tokenizer_bos(r->tokenizer), false, e);
        return rc ? rc : push_text(r, row->text, strlen(row->text), PIECE_TEXT, out, e);
    }
    if (!r->template)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "the model has no chat template: only text can be trained on");
    for (size_t i = 0; i < row->n_messages && !rc; i++)
        rc = check_content(r, &row->messages[i], e);
    if (!rc)
        rc = encode_turns(r, row, out, e);
    while (!rc && out->n && !out->taught[out->n - 1]) /* what the template writes behind the last turn */
        out->n--;
    return rc;
}
