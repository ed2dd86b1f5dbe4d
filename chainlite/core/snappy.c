/* Snappy blocks; see snappy.h. A varint with the length, then elements: literals, and copies from what was written. */
#include "chainlite/core/snappy.h"

#include <string.h>

enum { LENGTH_MAX_BYTES = 5 };

static int refuse(struct err *e, const char *what) { return err_set(e, OL_EFORMAT, "snappy", "%s", what); }

/* Also moves *at behind the length. */
static int read_length(const uint8_t **at, const uint8_t *end, size_t *length, struct err *e)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < LENGTH_MAX_BYTES && *at < end; i++) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (value > UINT32_MAX)
            break;
        *length = (size_t)value;
        return 0;
    }
    return refuse(e, "a malformed length");
}

int snappy_length(const uint8_t *block, size_t n, size_t *length, struct err *e)
{
    return read_length(&block, block + n, length, e);
}

static size_t little_endian(const uint8_t *at, size_t n)
{
    size_t value = 0;
    while (n--)
        value = value << 8 | at[n];
    return value;
}

struct element {
    size_t length, offset; /* offset 0: a literal */
};

/* Tag byte: two low bits say what, the others a length; 1 to 4 bytes may follow. */
static int read_element(const uint8_t **at, const uint8_t *end, struct element *out, struct err *e)
{
    uint8_t tag = *(*at)++;
    size_t high = tag >> 2, extra = (tag & 3) == 0 ? (high < 60 ? 0 : high - 59) : (tag & 3) == 3 ? 4 : tag & 3u;
    if ((size_t)(end - *at) < extra)
        return refuse(e, "the block ends within an element");
    size_t number = little_endian(*at, extra);
    *at += extra;
    switch (tag & 3) {
    case 0:
        *out = (struct element){(extra ? number : high) + 1, 0};
        return 0;
    case 1:
        *out = (struct element){(high & 7) + 4, (size_t)(tag >> 5) << 8 | number};
        break;
    default:
        *out = (struct element){high + 1, number};
    }
    return out->offset ? 0 : refuse(e, "a copy from nowhere");
}

int snappy_decode(const uint8_t *block, size_t n, uint8_t *out, size_t cap, size_t *length, struct err *e)
{
    const uint8_t *at = block, *end = block + n;
    size_t written = 0;
    int rc = read_length(&at, end, length, e);
    if (rc)
        return rc;
    if (*length > cap)
        return err_set(e, OL_ELIMIT, "snappy", "%zu bytes uncompressed; %zu at most", *length, cap);
    while (at < end) {
        struct element element = {0, 0};
        if ((rc = read_element(&at, end, &element, e)))
            return rc;
        if (element.length > *length - written)
            return refuse(e, "more bytes than the block says");
        if (element.offset > written || (!element.offset && element.length > (size_t)(end - at)))
            return refuse(e, "a copy from before the start, or a literal behind the end");
        if (!element.offset) {
            memcpy(out + written, at, element.length);
            at += element.length;
        } else {
            for (size_t i = 0; i < element.length; i++) /* byte by byte: a copy may overlap itself */
                out[written + i] = out[written + i - element.offset];
        }
        written += element.length;
    }
    return written == *length ? 0 : refuse(e, "fewer bytes than the block says");
}
