/* Tokens are bytes, and a character may be spread over several tokens: what cannot be shown yet waits in the four
 * bytes of the detokenizer. Equal to decoding all at once, wherever the tokens are cut. */
#include "model/tokenizer.h"

#include "model/utf8.h"

#include <string.h>

static void push_byte(struct detokenizer *d, char byte, struct buf *out)
{
    d->pending[d->n_pending++] = (unsigned char)byte;
    while (d->n_pending) {
        uint32_t c;
        int n = utf8_scan((const char *)d->pending, (size_t)d->n_pending, &c);
        if (!n)
            return; /* may still become a character */
        if (n > 0)
            buf_add(out, d->pending, (size_t)n);
        else
            buf_add_str(out, UTF8_REPLACEMENT);
        n = n < 0 ? -n : n;
        d->n_pending -= n;
        memmove(d->pending, d->pending + n, (size_t)d->n_pending);
    }
}

void detokenizer_push(struct detokenizer *d, const struct tokenizer *t, int32_t id, bool special, struct buf *out)
{
    if (!special && tokenizer_is_special(t, id))
        return;
    struct text bytes = tokenizer_bytes(t, id);
    for (size_t i = 0; i < bytes.len; i++)
        push_byte(d, bytes.data[i], out);
}

void detokenizer_finish(struct detokenizer *d, struct buf *out)
{
    if (d->n_pending)
        buf_add_str(out, UTF8_REPLACEMENT); /* an unfinished sequence is one maximal subpart */
    d->n_pending = 0;
}
