/* Stop strings in a stream. Text that may be the beginning of one is held back, so that no part of a stop string is ever
 * sent; the longest that has to be held is one byte shorter than the longest stop string. */
#include "api/stop.h"

#include <stdlib.h>
#include <string.h>

bool stop_list_add(struct stop_list *list, const char *text, size_t len)
{
    if (len == 0 || len > STOP_MAX_BYTES || list->n == STOP_MAX)
        return false;
    struct stop_string *grown = realloc(list->strings, (size_t)(list->n + 1) * sizeof *grown);
    if (!grown)
        return false;
    list->strings = grown;
    struct stop_string *s = &grown[list->n++];
    s->len = len;
    memcpy(s->text, text, len);
    s->back[0] = 0;
    uint16_t border = 0;
    for (size_t i = 1; i < len; i++) {
        while (border > 0 && text[i] != text[border])
            border = s->back[border - 1];
        if (text[i] == text[border])
            border++;
        s->back[i] = border;
    }
    return true;
}

void stop_list_deinit(struct stop_list *list)
{
    free(list->strings);
    *list = (struct stop_list){0};
}

void stop_matcher_init(struct stop_matcher *m, const struct stop_list *list)
{
    *m = (struct stop_matcher){.list = list};
    buf_init(&m->held, SIZE_MAX / 2);
}

void stop_matcher_deinit(struct stop_matcher *m) { buf_deinit(&m->held); }

/* Advances every automaton by one byte; returns the length of the longest string it completes, or 0. */
static size_t advance(struct stop_matcher *m, char byte)
{
    size_t complete = 0;
    for (int i = 0; i < m->list->n; i++) {
        const struct stop_string *s = &m->list->strings[i];
        uint16_t at = m->state[i];
        while (at > 0 && s->text[at] != byte)
            at = s->back[at - 1];
        if (s->text[at] == byte)
            at++;
        m->state[i] = at;
        if (at == s->len && at > complete)
            complete = at;
    }
    return complete;
}

bool stop_matcher_feed(struct stop_matcher *m, const char *text, size_t len, struct buf *out)
{
    if (m->list->n == 0) {
        buf_add(out, text, len);
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        buf_add_char(&m->held, text[i]);
        size_t complete = advance(m, text[i]);
        if (complete > 0) {
            buf_add(out, buf_str(&m->held), m->held.len - complete);
            buf_reset(&m->held);
            return true;
        }
    }
    size_t open = 0; /* bytes at the end that some string could still turn into a match */
    for (int i = 0; i < m->list->n; i++)
        if (m->state[i] > open)
            open = m->state[i];
    buf_add(out, buf_str(&m->held), m->held.len - open);
    buf_drop_front(&m->held, m->held.len - open);
    return false;
}

void stop_matcher_finish(struct stop_matcher *m, struct buf *out)
{
    buf_add(out, buf_str(&m->held), m->held.len);
    buf_reset(&m->held);
}
