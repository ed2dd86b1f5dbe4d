/* JSON texts, byte by byte: what is not UTF-8 becomes U+FFFD, since a model may end within a character. */
#include "api/json_text.h"

#include "api/errors.h"
#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

static int dump(const char *bytes, size_t n, void *out)
{
    buf_add(out, bytes, n);
    return buf_failed(out) ? -1 : 0;
}

static json_t *repaired(const char *bytes, size_t n)
{
    struct buf b;
    buf_init(&b, 3 * n + 1); /* every byte may become a U+FFFD */
    utf8_append_replaced(&b, bytes, n);
    json_t *s = json_stringn(buf_str(&b), b.len);
    buf_deinit(&b);
    return s;
}

void json_text(struct buf *out, const char *bytes, size_t n)
{
    json_t *s = json_stringn(bytes, n); /* NULL if it is not UTF-8 */
    if (!s)
        s = repaired(bytes, n);
    if (!s || json_dump_callback(s, dump, out, JSON_ENCODE_ANY | JSON_COMPACT) != 0)
        out->failed = true;
    json_decref(s);
}

void json_respond(struct http_request *r, int status, json_t *tree)
{
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    if (!text) {
        struct api_error e;
        api_fail(&e, 503, NULL, "no_memory", "no memory for the answer");
        api_error_respond(&e, r);
        return;
    }
    http_respond(r, status, "application/json", text, strlen(text));
    free(text);
}
