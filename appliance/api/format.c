/* JSON of answers: whole ones, and the events of a stream. Written by hand into a buffer, since an event is made per token
 * and a tree for each would cost more than the text. The end of a billed answer comes in two halves around
 * usage.openlora, which is known only with the receipt. */
#include "api/format.h"

#include "api/json_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static void add_id(struct buf *out, const char *prefix)
{
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        random[0] = 1; /* a name for logs: a repeated one does no harm */
    buf_add_str(out, prefix);
    for (size_t i = 0; i < sizeof random; i++)
        buf_printf(out, "%02x", random[i]);
}

void format_init(struct format *f, bool chat, bool stream, bool include_usage, const char *model,
                 const char *fingerprint)
{
    *f = (struct format){.chat = chat, .include_usage = include_usage};
    buf_init(&f->head, 4096);
    buf_add_str(&f->head, "{\"id\":\"");
    add_id(&f->head, chat ? "chatcmpl-" : "cmpl-");
    buf_printf(&f->head, "\",\"object\":\"%s\",\"created\":%lld,\"model\":",
               !chat ? "text_completion" : stream ? "chat.completion.chunk" : "chat.completion", (long long)time(NULL));
    json_text(&f->head, model, strlen(model));
    buf_printf(&f->head, ",\"system_fingerprint\":\"%s\",", fingerprint);
}

void format_deinit(struct format *f) { buf_deinit(&f->head); }

static void open_event(const struct format *f, struct buf *out)
{
    buf_add_str(out, "data: ");
    buf_add(out, buf_str(&f->head), f->head.len);
    buf_add_str(out, "\"choices\":[");
}

static void close_event(const struct format *f, struct buf *out)
{
    buf_add_str(out, f->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void add_logprobs(struct choice *c, struct buf *out)
{
    if (c->wants_logprobs)
        logprobs_take(&c->logprobs, out);
    else
        buf_add_str(out, "null");
}

void format_role(const struct format *f, const struct choice *c, struct buf *out)
{
    if (!f->chat)
        return;
    open_event(f, out);
    buf_printf(out, "{\"index\":%d,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                    "\"finish_reason\":null}", c->index);
    close_event(f, out);
}

void format_delta(const struct format *f, struct choice *c, struct buf *out)
{
    if (c->text.len == 0 && !logprobs_pending(&c->logprobs))
        return;
    open_event(f, out);
    buf_printf(out, f->chat ? "{\"index\":%d,\"delta\":{\"content\":" : "{\"index\":%d,\"text\":", c->index);
    json_text(out, buf_str(&c->text), c->text.len);
    buf_add_str(out, f->chat ? "},\"logprobs\":" : ",\"logprobs\":");
    add_logprobs(c, out);
    buf_add_str(out, ",\"finish_reason\":null}");
    close_event(f, out);
    buf_reset(&c->text);
}

static void add_finish(const struct format *f, const struct choice *c, struct buf *out)
{
    open_event(f, out);
    buf_printf(out, f->chat ? "{\"index\":%d,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}"
                            : "{\"index\":%d,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"%s\"}",
               c->index, c->finish_reason);
}

void format_finish(const struct format *f, const struct choice *c, struct buf *out)
{
    add_finish(f, c, out);
    close_event(f, out);
}

static void open_usage(const struct usage *u, struct buf *out)
{
    buf_printf(out, "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
                    "\"prompt_tokens_details\":{\"cached_tokens\":%d}",
               u->prompt_tokens, u->output_tokens, u->prompt_tokens + u->output_tokens, u->cached_tokens);
}

static void add_usage(const struct usage *u, struct buf *out)
{
    open_usage(u, out);
    buf_add_char(out, '}');
}

void format_usage(const struct format *f, const struct usage *u, struct buf *out)
{
    open_event(f, out);
    buf_add_str(out, "],");
    add_usage(u, out);
    buf_add_str(out, "}\n\n");
}

void format_done(struct buf *out) { buf_add_str(out, "data: [DONE]\n\n"); }

void format_stream_end(const struct format *f, const struct choice *choices, int n, const struct usage *u,
                       struct buf *before, struct buf *after)
{
    for (int i = 0; i < n; i++) {
        add_finish(f, &choices[i], before);
        if (i < n - 1 || f->include_usage)
            close_event(f, before);
    }
    if (f->include_usage)
        open_event(f, before);
    buf_add_str(before, "],");
    open_usage(u, before);
    buf_add_str(before, ",\"openlora\":");
    buf_add_str(after, "}}\n\n");
    format_done(after);
}

static void add_choices(const struct format *f, struct choice *choices, int n, struct buf *out)
{
    buf_add(out, buf_str(&f->head), f->head.len);
    buf_add_str(out, "\"choices\":[");
    for (int i = 0; i < n; i++) {
        struct choice *c = &choices[i];
        buf_printf(out, "%s{\"index\":%d,", i ? "," : "", c->index);
        buf_add_str(out, f->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
        json_text(out, buf_str(&c->text), c->text.len);
        buf_add_str(out, f->chat ? ",\"refusal\":null},\"logprobs\":" : ",\"logprobs\":");
        add_logprobs(c, out);
        buf_printf(out, ",\"finish_reason\":\"%s\"}", c->finish_reason);
    }
    buf_add_str(out, "],");
}

void format_whole(const struct format *f, struct choice *choices, int n, const struct usage *u, struct buf *out)
{
    add_choices(f, choices, n, out);
    add_usage(u, out);
    buf_add_char(out, '}');
}

void format_whole_end(const struct format *f, struct choice *choices, int n, const struct usage *u, struct buf *before,
                      struct buf *after)
{
    add_choices(f, choices, n, before);
    open_usage(u, before);
    buf_add_str(before, ",\"openlora\":");
    buf_add_str(after, "}}");
}
