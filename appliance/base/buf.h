/* A growable byte buffer with a hard maximum, always NUL-terminated so that text can be read as a C string.
 *
 * The first failed append (no memory, over the maximum) marks the buffer failed; later appends do nothing, so a
 * writer may append freely and test `buf_failed` once at its end. */
#ifndef OPENLORA_BASE_BUF_H
#define OPENLORA_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;       /* owned; NULL until the first append */
    size_t len;       /* bytes, terminator not counted */
    size_t cap;
    size_t max_bytes; /* never grows past this */
    bool failed;
    bool no_memory;   /* why it failed: no memory, else the maximum */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b);
void buf_reset(struct buf *b); /* empties, keeps the memory and the maximum, clears `failed` */
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_drop_front(struct buf *b, size_t n); /* removes the first n bytes (at most len) */
char *buf_take(struct buf *b);                /* returns owned text (never NULL unless failed); buffer is empty after */
static inline bool buf_failed(const struct buf *b) { return b->failed; }
static inline const char *buf_str(const struct buf *b) { return b->data ? b->data : ""; }

#endif
