/* RLP reader and writer; see rlp.h. Every length is compared with what is left before a pointer moves. */
#include "chainlite/core/rlp.h"

#include <string.h>

enum { SHORT_MAX = 55, STRING_BASE = 0x80, LIST_BASE = 0xc0 };

static int refuse(struct err *e, const char *what) { return err_set(e, OL_EFORMAT, "rlp", "%s", what); }

/* Length that follows the prefix byte in `n` bytes; these must be necessary (minimal form). */
static int long_length(const uint8_t **at, const uint8_t *end, size_t n, size_t *len, struct err *e)
{
    if ((size_t)(end - *at) < n)
        return refuse(e, "the input ends within a length");
    if (**at == 0)
        return refuse(e, "a length starts with a zero byte");
    if (n > sizeof *len)
        return refuse(e, "a length is larger than the input");
    *len = 0;
    for (; n; n--)
        *len = *len << 8 | *(*at)++;
    if (*len <= SHORT_MAX)
        return refuse(e, "a length is not in its shortest form");
    return 0;
}

/* The item at *at, which then points behind it. */
static int decode(const uint8_t **at, const uint8_t *end, struct rlp *out, struct err *e)
{
    if (*at == end)
        return refuse(e, "the input ends where an item should be");
    uint8_t prefix = *(*at)++;
    if (prefix < STRING_BASE) {
        *out = (struct rlp){*at - 1, 1, false};
        return 0;
    }
    bool list = prefix >= LIST_BASE;
    size_t len = (size_t)(prefix - (list ? LIST_BASE : STRING_BASE));
    if (len > SHORT_MAX) {
        int rc = long_length(at, end, len - SHORT_MAX, &len, e);
        if (rc)
            return rc;
    }
    if ((size_t)(end - *at) < len)
        return refuse(e, "an item is longer than the input");
    if (!list && len == 1 && **at < STRING_BASE)
        return refuse(e, "a small byte has a prefix it does not need");
    *out = (struct rlp){*at, len, list};
    *at += len;
    return 0;
}

int rlp_parse(const uint8_t *bytes, size_t n, struct rlp *out, struct err *e)
{
    const uint8_t *at = bytes, *end = bytes + n;
    int rc = decode(&at, end, out, e);
    if (rc)
        return rc;
    return at == end ? 0 : refuse(e, "bytes follow the item");
}

struct rlp_reader rlp_items(const struct rlp *list) { return (struct rlp_reader){list->data, list->data + list->len}; }

bool rlp_more(const struct rlp_reader *r) { return r->at != r->end; }

int rlp_next(struct rlp_reader *r, struct rlp *out, struct err *e) { return decode(&r->at, r->end, out, e); }

/* An unsigned integer of at most max_bytes bytes. */
static int next_integer(struct rlp_reader *r, size_t max_bytes, wei_t *out, struct err *e)
{
    struct rlp item;
    int rc = rlp_next(r, &item, e);
    if (rc)
        return rc;
    if (item.list)
        return refuse(e, "a list where an integer should be");
    if (item.len > max_bytes)
        return refuse(e, "an integer is too large");
    if (item.len && item.data[0] == 0)
        return refuse(e, "an integer starts with a zero byte");
    *out = 0;
    for (size_t i = 0; i < item.len; i++)
        *out = *out << 8 | item.data[i];
    return 0;
}

int rlp_next_u64(struct rlp_reader *r, uint64_t *out, struct err *e)
{
    wei_t value = 0;
    int rc = next_integer(r, sizeof *out, &value, e);
    *out = (uint64_t)value;
    return rc;
}

int rlp_next_wei(struct rlp_reader *r, wei_t *out, struct err *e) { return next_integer(r, sizeof *out, out, e); }

int rlp_next_bytes(struct rlp_reader *r, uint8_t *out, size_t n, struct err *e)
{
    struct rlp item;
    int rc = rlp_next(r, &item, e);
    if (rc)
        return rc;
    if (item.list || item.len != n)
        return err_set(e, OL_EFORMAT, "rlp", "%s of %zu bytes where %zu bytes should be",
                       item.list ? "a list" : "a string", item.len, n);
    memcpy(out, item.data, n);
    return 0;
}

void rlp_writer_init(struct rlp_writer *w, uint8_t *data, size_t cap) { *w = (struct rlp_writer){data, cap, 0, false}; }

void rlp_put_raw(struct rlp_writer *w, const void *item, size_t n)
{
    if (w->failed || n > w->cap - w->len) {
        w->failed = true;
        return;
    }
    if (n)
        memcpy(w->data + w->len, item, n);
    w->len += n;
}

/* Prefix of a string or list of `len` bytes; returns its own length. */
static size_t make_prefix(uint8_t base, size_t len, uint8_t out[RLP_PREFIX_BYTES])
{
    if (len <= SHORT_MAX) {
        out[0] = (uint8_t)(base + len);
        return 1;
    }
    size_t n = 0;
    for (size_t rest = len; rest; rest >>= 8)
        n++;
    out[0] = (uint8_t)(base + SHORT_MAX + n);
    for (size_t i = n; i; i--, len >>= 8)
        out[i] = (uint8_t)len;
    return n + 1;
}

size_t rlp_list_prefix(size_t payload, uint8_t out[RLP_PREFIX_BYTES]) { return make_prefix(LIST_BASE, payload, out); }

size_t rlp_string_prefix(size_t len, uint8_t out[RLP_PREFIX_BYTES]) { return make_prefix(STRING_BASE, len, out); }

void rlp_put_bytes(struct rlp_writer *w, const void *bytes, size_t n)
{
    uint8_t prefix[RLP_PREFIX_BYTES];
    if (n != 1 || *(const uint8_t *)bytes >= STRING_BASE)
        rlp_put_raw(w, prefix, rlp_string_prefix(n, prefix));
    rlp_put_raw(w, bytes, n);
}

void rlp_put_wei(struct rlp_writer *w, wei_t value)
{
    uint8_t be[16];
    size_t zeros = 0;
    wei_to_be16(value, be);
    while (zeros < sizeof be && be[zeros] == 0)
        zeros++;
    rlp_put_bytes(w, be + zeros, sizeof be - zeros);
}

void rlp_put_u64(struct rlp_writer *w, uint64_t value) { rlp_put_wei(w, value); }

size_t rlp_list_open(const struct rlp_writer *w) { return w->len; }

void rlp_list_close(struct rlp_writer *w, size_t mark)
{
    uint8_t prefix[RLP_PREFIX_BYTES];
    if (w->failed)
        return;
    size_t payload = w->len - mark, n = rlp_list_prefix(payload, prefix);
    rlp_put_raw(w, prefix, n); /* makes the room, or fails; then the items move behind it */
    if (w->failed)
        return;
    memmove(w->data + mark + n, w->data + mark, payload);
    memcpy(w->data + mark, prefix, n);
}
