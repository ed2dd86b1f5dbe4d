/* One choice of an answer: bytes of tokens become text, stop strings are held back, what is ready goes into an event. A
 * token may end within a character, so text comes later than tokens. */
#include "api/choice.h"

enum { MAX_TEXT_BYTES = 64 << 20, MAX_PIECE_BYTES = 1 << 20 };

void choice_init(struct choice *c, int index, const struct tokenizer *tokenizer, const struct params *p, bool chat)
{
    *c = (struct choice){.index = index, .tokenizer = tokenizer, .ignore_eos = p->ignore_eos,
                         .wants_logprobs = p->logprobs};
    stop_matcher_init(&c->stop, &p->stop);
    logprobs_init(&c->logprobs, chat, tokenizer);
    buf_init(&c->piece, MAX_PIECE_BYTES);
    buf_init(&c->text, MAX_TEXT_BYTES);
}

void choice_deinit(struct choice *c)
{
    stop_matcher_deinit(&c->stop);
    logprobs_deinit(&c->logprobs);
    buf_deinit(&c->piece);
    buf_deinit(&c->text);
}

/* Runs new text in `piece` through the stop strings. */
static void settle(struct choice *c)
{
    size_t before = c->text.len;
    for (size_t i = 0; i < c->piece.len; i++)
        c->made_chars += ((unsigned char)c->piece.data[i] & 0xC0) != 0x80;
    c->made += c->piece.len;
    c->cut = stop_matcher_feed(&c->stop, buf_str(&c->piece), c->piece.len, &c->text);
    c->settled += c->text.len - before;
    buf_reset(&c->piece);
}

bool choice_push(struct choice *c, const struct step_result *token)
{
    if (!c->ignore_eos && tokenizer_is_eog(c->tokenizer, token->token)) {
        c->stopped = true;
        return false;
    }
    if (c->wants_logprobs && !logprobs_add(&c->logprobs, token, c->made, c->made_chars))
        c->text.failed = true;
    detokenizer_push(&c->detokenizer, c->tokenizer, token->token, false, &c->piece);
    settle(c);
    c->stopped = c->cut;
    logprobs_release(&c->logprobs, c->settled, false);
    return !c->stopped && !buf_failed(&c->text);
}

void choice_end(struct choice *c, enum engine_end end, const struct usage *usage)
{
    c->usage = *usage;
    if (!c->cut) {
        detokenizer_finish(&c->detokenizer, &c->piece);
        settle(c);
    }
    if (!c->cut) {
        size_t before = c->text.len;
        stop_matcher_finish(&c->stop, &c->text);
        c->settled += c->text.len - before;
    }
    logprobs_release(&c->logprobs, c->settled, !c->cut);
    if (end == END_STOP || end == END_LENGTH)
        c->finish_reason = end == END_STOP || c->stopped ? "stop" : "length";
}
