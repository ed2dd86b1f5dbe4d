/* Decompose, order the marks, compose. The first and last are libutf8proc's, character by character and in one pass;
 * the middle one is ours, because the library sorts marks by exchanging neighbours: a few kilobytes of marks in
 * descending order would hold up the server. */
#include "model/nfc.h"

#include "model/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <utf8proc.h>

enum { MAX_DECOMPOSED = 8 }; /* code points that one character decomposes to: 4 in Unicode so far */

bool nfc_is_trivial(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0xcc) /* the lead byte of U+0300 */
            return false;
    return true;
}

struct mark {
    utf8proc_int32_t c;
    int32_t class, order;
};

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    return x->class != y->class ? (x->class > y->class) - (x->class < y->class)
                                : (x->order > y->order) - (x->order < y->order);
}

/* Sorts each run of combining marks by combining class, stably. */
static int order_marks(utf8proc_int32_t *c, size_t n, struct err *e)
{
    struct mark *marks = NULL;
    size_t cap = 0;
    for (size_t i = 0, end; i < n; i = end + 1) {
        bool sorted = true;
        int32_t class, previous = 0;
        for (end = i; end < n && (class = utf8proc_get_property(c[end])->combining_class) != 0; end++) {
            sorted = sorted && class >= previous;
            previous = class;
        }
        if (sorted)
            continue;
        if (end - i > cap) {
            free(marks);
            cap = end - i;
            marks = malloc(cap * sizeof *marks);
            if (!marks)
                return err_set(e, OL_ENOMEM, "tokenizer", "no memory to normalize text");
        }
        for (size_t k = i; k < end; k++)
            marks[k - i] = (struct mark){c[k], utf8proc_get_property(c[k])->combining_class, (int32_t)(k - i)};
        qsort(marks, end - i, sizeof *marks, compare_marks);
        for (size_t k = i; k < end; k++)
            c[k] = marks[k - i].c;
    }
    free(marks);
    return 0;
}

/* Canonical decomposition, not yet ordered. Returns the code points written, or −1 if there is no room. */
static ptrdiff_t decompose(const char *text, size_t len, utf8proc_int32_t *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        int bytes = utf8_scan(text + i, len - i, &c);
        int ignored = 0;
        if (bytes <= 0 || n + MAX_DECOMPOSED > cap)
            return -1;
        utf8proc_ssize_t k =
            utf8proc_decompose_char((utf8proc_int32_t)c, out + n, MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &ignored);
        if (k < 0 || k > MAX_DECOMPOSED)
            return -1;
        n += (size_t)k;
        i += (size_t)bytes;
    }
    return (ptrdiff_t)n;
}

int nfc_append(struct buf *out, const char *text, size_t len, struct err *e)
{
    if (len > INT32_MAX / 16)
        return err_set(e, OL_ELIMIT, "tokenizer", "a text of %zu bytes is too long to normalize", len);
    /* A character of two or more bytes decomposes to at most two code points per byte. */
    size_t cap = len * 2 + MAX_DECOMPOSED;
    utf8proc_int32_t *points = malloc(cap * sizeof *points);
    ptrdiff_t n = points ? decompose(text, len, points, cap) : 0;
    int rc = !points ? err_set(e, OL_ENOMEM, "tokenizer", "no memory to normalize %zu bytes", len)
             : n < 0 ? err_set(e, OL_EINVAL, "tokenizer", "text to normalize is not UTF-8")
                     : order_marks(points, (size_t)n, e);
    if (!rc) {
        /* Only the composition is left to do, so the options name nothing else. */
        n = utf8proc_normalize_utf32(points, n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        for (ptrdiff_t i = 0; i < n; i++)
            utf8_append(out, (uint32_t)points[i]);
        if (buf_failed(out))
            rc = err_set(e, OL_ENOMEM, "tokenizer", "no memory to normalize %zu bytes", len);
    }
    free(points);
    return rc;
}
