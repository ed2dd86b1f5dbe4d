/* Every decoder of the project's text goes through utf8_scan, so that all of them agree on what is valid. */
#include "model/utf8.h"

#include <string.h>

int utf8_scan(const char *s, size_t len, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *code_point = p[0];
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return -1;
    int n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    /* The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF. */
    unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((size_t)i == len)
            return 0;
        if (p[i] < low || p[i] > high)
            return -i;
        c = c << 6 | (p[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    *code_point = c;
    return n;
}

uint32_t utf8_decode(const char *s, int *length)
{
    uint32_t c = 0xfffd;
    *length = utf8_scan(s, 4, &c);
    return c;
}

void utf8_append(struct buf *out, uint32_t c)
{
    char s[4];
    if (c < 0x80) {
        s[0] = (char)c;
        buf_add(out, s, 1);
    } else if (c < 0x800) {
        s[0] = (char)(0xc0 | c >> 6);
        s[1] = (char)(0x80 | (c & 0x3f));
        buf_add(out, s, 2);
    } else if (c < 0x10000) {
        s[0] = (char)(0xe0 | c >> 12);
        s[1] = (char)(0x80 | (c >> 6 & 0x3f));
        s[2] = (char)(0x80 | (c & 0x3f));
        buf_add(out, s, 3);
    } else {
        s[0] = (char)(0xf0 | c >> 18);
        s[1] = (char)(0x80 | (c >> 12 & 0x3f));
        s[2] = (char)(0x80 | (c >> 6 & 0x3f));
        s[3] = (char)(0x80 | (c & 0x3f));
        buf_add(out, s, 4);
    }
}

size_t utf8_valid_prefix(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        if (len - i >= 8 && (memcpy(&word, s + i, 8), !(word & 0x8080808080808080u))) { /* eight ASCII bytes */
            i += 8;
            continue;
        }
        uint32_t c;
        int n = utf8_scan(s + i, len - i, &c);
        if (n <= 0)
            break;
        i += (size_t)n;
    }
    return i;
}

void utf8_append_replaced(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t valid = utf8_valid_prefix(s + i, len - i);
        buf_add(out, s + i, valid);
        i += valid;
        if (i == len)
            break;
        uint32_t c;
        int n = utf8_scan(s + i, len - i, &c);
        buf_add_str(out, UTF8_REPLACEMENT);
        i += n ? (size_t)-n : len - i; /* 0: an unfinished sequence ends the text */
    }
}
