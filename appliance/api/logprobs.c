/* logprobs in both of OpenAI's shapes. Tokens are shown as text and as bytes: a token may be half a character. */
#include "api/logprobs.h"

#include "api/json_text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

void logprobs_init(struct logprobs *l, bool chat, const struct tokenizer *tokenizer)
{
    *l = (struct logprobs){.chat = chat, .tokenizer = tokenizer};
    struct buf *all[] = {&l->content, &l->tokens, &l->values, &l->tops, &l->offsets};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_init(all[i], MAX_BYTES);
}

void logprobs_deinit(struct logprobs *l)
{
    struct buf *all[] = {&l->content, &l->tokens, &l->values, &l->tops, &l->offsets};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_deinit(all[i]);
    free(l->waiting);
    l->waiting = NULL;
}

bool logprobs_add(struct logprobs *l, const struct step_result *token, size_t start, size_t start_chars)
{
    if (l->n_waiting == l->cap) {
        int cap = l->cap ? 2 * l->cap : 4;
        struct logprob_entry *grown = realloc(l->waiting, (size_t)cap * sizeof *grown);
        if (!grown)
            return false;
        l->waiting = grown;
        l->cap = cap;
    }
    l->waiting[l->n_waiting++] = (struct logprob_entry){start, start_chars, *token};
    return true;
}

/* JSON has no infinity: what cannot happen is −9999, as OpenAI writes it. */
static double printable(float logprob) { return logprob > -9999 ? (double)logprob : -9999; }

static void token_text(struct logprobs *l, int32_t token, struct buf *out)
{
    struct text bytes = tokenizer_bytes(l->tokenizer, token);
    json_text(out, bytes.data, bytes.len);
}

/* {"token": "…", "logprob": −1.5, "bytes": [104, 105]} without its closing brace */
static void chat_token(struct logprobs *l, int32_t token, float logprob)
{
    struct text bytes = tokenizer_bytes(l->tokenizer, token);
    buf_add_str(&l->content, "{\"token\":");
    token_text(l, token, &l->content);
    buf_printf(&l->content, ",\"logprob\":%.7g,\"bytes\":[", printable(logprob));
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(&l->content, i ? ",%d" : "%d", (unsigned char)bytes.data[i]);
    buf_add_char(&l->content, ']');
}

static void write_chat(struct logprobs *l, const struct step_result *t)
{
    if (l->content.len > 0)
        buf_add_char(&l->content, ',');
    chat_token(l, t->token, t->logprob);
    buf_add_str(&l->content, ",\"top_logprobs\":[");
    for (int i = 0; i < t->n_top; i++) {
        if (i > 0)
            buf_add_char(&l->content, ',');
        chat_token(l, t->top_token[i], t->top_logprob[i]);
        buf_add_char(&l->content, '}');
    }
    buf_add_str(&l->content, "]}");
}

static void write_completion(struct logprobs *l, const struct logprob_entry *entry)
{
    const struct step_result *t = &entry->token;
    struct buf *lists[] = {&l->tokens, &l->values, &l->tops, &l->offsets};
    for (size_t i = 0; l->tokens.len > 0 && i < sizeof lists / sizeof *lists; i++)
        buf_add_char(lists[i], ',');
    token_text(l, t->token, &l->tokens);
    buf_printf(&l->values, "%.7g", printable(t->logprob));
    buf_printf(&l->offsets, "%zu", entry->start_chars);
    buf_add_char(&l->tops, '{');
    for (int i = 0; i < t->n_top; i++) {
        if (i > 0)
            buf_add_char(&l->tops, ',');
        token_text(l, t->top_token[i], &l->tops);
        buf_printf(&l->tops, ":%.7g", printable(t->top_logprob[i]));
    }
    buf_add_char(&l->tops, '}');
}

void logprobs_release(struct logprobs *l, size_t out, bool all)
{
    int n = 0;
    for (; n < l->n_waiting && (all || l->waiting[n].start < out); n++) {
        if (l->chat)
            write_chat(l, &l->waiting[n].token);
        else
            write_completion(l, &l->waiting[n]);
    }
    l->n_waiting -= n;
    if (n > 0)
        memmove(l->waiting, l->waiting + n, (size_t)l->n_waiting * sizeof *l->waiting);
}

bool logprobs_pending(const struct logprobs *l) { return l->content.len > 0 || l->tokens.len > 0; }

static void move(struct buf *from, struct buf *to)
{
    buf_add(to, buf_str(from), from->len);
    if (buf_failed(from))
        to->failed = true;
    buf_reset(from);
}

void logprobs_take(struct logprobs *l, struct buf *json)
{
    if (l->chat) {
        buf_add_str(json, "{\"content\":[");
        move(&l->content, json);
        buf_add_str(json, "],\"refusal\":null}");
        return;
    }
    buf_add_str(json, "{\"tokens\":[");
    move(&l->tokens, json);
    buf_add_str(json, "],\"token_logprobs\":[");
    move(&l->values, json);
    buf_add_str(json, "],\"top_logprobs\":[");
    move(&l->tops, json);
    buf_add_str(json, "],\"text_offset\":[");
    move(&l->offsets, json);
    buf_add_str(json, "]}");
}
