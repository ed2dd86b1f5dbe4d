/* The lexer alternates between two states: outside of tags it looks for the next "{{", "{%" or "{#"; inside, it cuts
 * names, literals and operators until the tag's end. An end inside brackets is not one: {{ {"a": {}} }}.
 *
 * White space, in Jinja's order of precedence:
 *   "-" on a side strips all white space there; "+" leaves it;
 *   otherwise blocks and comments lose the blanks before them on their line, and the newline after them. */
#include "model/jinja_lex.h"

#include "base/buf.h"
#include "model/utf8.h"

#include <stdlib.h>
#include <string.h>

void jinja_lexer_init(struct jinja_lexer *x, struct text source, struct arena *memory, struct err *e)
{
    *x = (struct jinja_lexer){.source = source, .line = 1, .line_start = true, .memory = memory, .e = e};
}

static struct jinja_token token(const struct jinja_lexer *x, enum jinja_token_kind kind)
{
    return (struct jinja_token){.kind = kind, .line = x->line};
}

static struct jinja_token fail(struct jinja_lexer *x, int code, const char *what)
{
    if (!x->rc)
        x->rc = err_set(x->e, code, "template", "chat template, line %d: %s", x->line, what);
    return token(x, TOKEN_END);
}

static void advance(struct jinja_lexer *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x->line += x->source.data[x->at + i] == '\n';
    x->at += n;
}

static bool at_text(const struct jinja_lexer *x, size_t at, const char *s)
{
    size_t n = strlen(s);
    return at <= x->source.len && n <= x->source.len - at && !memcmp(x->source.data + at, s, n);
}

/* Length of the white space character at s, or 0. */
static size_t space_at(const char *s, size_t len)
{
    if (!len)
        return 0;
    unsigned char c = (unsigned char)s[0];
    if (c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f))
        return 1;
    if (len >= 2 && c == 0xc2 && ((unsigned char)s[1] == 0x85 || (unsigned char)s[1] == 0xa0))
        return 2;
    static const char wide[][4] = {"\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                   "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                   "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
    for (size_t i = 0; len >= 3 && i < sizeof wide / sizeof *wide; i++)
        if (!memcmp(s, wide[i], 3))
            return 3;
    return 0;
}

static void skip_space(struct jinja_lexer *x)
{
    size_t n;
    while ((n = space_at(x->source.data + x->at, x->source.len - x->at)) != 0)
        advance(x, n);
}

/* Without the white space at its end. */
static struct text strip_end(struct text t)
{
    while (t.len) {
        size_t i = t.len - 1;
        while (i && ((unsigned char)t.data[i] & 0xc0) == 0x80)
            i--;
        if (space_at(t.data + i, t.len - i) != t.len - i)
            break;
        t.len = i;
    }
    return t;
}

/* lstrip_blocks: blanks between the start of a line and a block tag or comment are not text. */
static struct text strip_indent(const struct jinja_lexer *x, struct text t)
{
    size_t line = t.len;
    while (line && t.data[line - 1] != '\n')
        line--;
    if (!line && !x->line_start)
        return t;
    return strip_end((struct text){t.data + line, t.len - line}).len ? t : (struct text){t.data, line};
}

/* The text from `at` up to the tag at `tag`, less what the tag strips. */
static struct text text_before(const struct jinja_lexer *x, size_t tag, char sign, bool output)
{
    struct text t = {x->source.data + x->at, tag - x->at};
    if (sign == '-')
        return strip_end(t);
    return sign == '+' || output ? t : strip_indent(x, t);
}

/* Past the end of a block or comment, whose last two characters are at `end`; the sign stands before them. */
static void end_block(struct jinja_lexer *x, size_t end, char sign)
{
    advance(x, end + 2 - x->at);
    if (sign == '-')
        skip_space(x);
    else if (sign != '+' && at_text(x, x->at, "\n")) /* trim_blocks */
        advance(x, 1);
    x->line_start = x->source.data[x->at - 1] == '\n';
}

static char sign_before(const struct jinja_lexer *x, size_t end, size_t from)
{
    char c = end > from ? x->source.data[end - 1] : 0;
    return c == '-' || c == '+' ? c : 0;
}

static void skip_comment(struct jinja_lexer *x)
{
    const char *end = memmem(x->source.data + x->at + 2, x->source.len - x->at - 2, "#}", 2);
    if (!end) {
        fail(x, OL_EFORMAT, "a comment without its end");
        return;
    }
    size_t at = (size_t)(end - x->source.data);
    end_block(x, at, sign_before(x, at, x->at + 2));
}

/* Is a block tag "{% name %}" at `at`? *end is set to its "%}". */
static bool is_bare_block(const struct jinja_lexer *x, size_t at, const char *name, size_t *end)
{
    const char *s = x->source.data;
    at += 2;
    if (at < x->source.len && (s[at] == '-' || s[at] == '+'))
        at++;
    size_t n;
    while (at < x->source.len && (n = space_at(s + at, x->source.len - at)) != 0)
        at += n;
    if (!at_text(x, at, name))
        return false;
    at += strlen(name);
    while (at < x->source.len && (n = space_at(s + at, x->source.len - at)) != 0)
        at += n;
    if (at < x->source.len && (s[at] == '-' || s[at] == '+'))
        at++;
    *end = at;
    return at_text(x, at, "%}");
}

/* {% raw %} … {% endraw %} at `at`: its content as text. */
static struct jinja_token raw_block(struct jinja_lexer *x, size_t begin_end)
{
    bool strip = sign_before(x, begin_end, x->at) == '-';
    advance(x, begin_end + 2 - x->at); /* no trim_blocks here */
    if (strip)
        skip_space(x);
    x->line_start = x->source.data[x->at - 1] == '\n';
    size_t end = 0;
    for (size_t tag = x->at; tag + 2 <= x->source.len; tag++) {
        if (!at_text(x, tag, "{%") || !is_bare_block(x, tag, "endraw", &end))
            continue;
        struct jinja_token t = token(x, TOKEN_TEXT);
        char sign = tag + 2 < x->source.len ? x->source.data[tag + 2] : 0;
        t.text = text_before(x, tag, sign, false);
        end_block(x, end, sign_before(x, end, tag + 2));
        return t;
    }
    return fail(x, OL_EFORMAT, "raw without endraw");
}

/* The next "{{", "{%" or "{#", or the end of the source. */
static size_t find_tag(const struct jinja_lexer *x)
{
    for (size_t i = x->at; i + 1 < x->source.len; i++) {
        char next = x->source.data[i + 1];
        if (x->source.data[i] == '{' && (next == '{' || next == '%' || next == '#'))
            return i;
    }
    return x->source.len;
}

static struct jinja_token begin_tag(struct jinja_lexer *x)
{
    x->begin_pending = false;
    x->in_tag = true;
    x->in_output = x->source.data[x->at + 1] == '{';
    x->brackets = 0;
    struct jinja_token t = token(x, x->in_output ? TOKEN_OUTPUT_BEGIN : TOKEN_BLOCK_BEGIN);
    advance(x, 2);
    if (at_text(x, x->at, "-") || at_text(x, x->at, "+"))
        advance(x, 1);
    return t;
}

/* Text up to the next tag, or that tag's begin if nothing is left of the text. */
static struct jinja_token next_outside(struct jinja_lexer *x)
{
    while (x->at < x->source.len && !x->rc) {
        size_t tag = find_tag(x), raw_end = 0;
        struct jinja_token t = token(x, TOKEN_TEXT);
        if (tag == x->source.len) {
            t.text = (struct text){x->source.data + x->at, tag - x->at};
            x->at = tag;
            return t;
        }
        char kind = x->source.data[tag + 1], sign = tag + 2 < x->source.len ? x->source.data[tag + 2] : 0;
        t.text = text_before(x, tag, sign, kind == '{');
        advance(x, tag - x->at);
        x->line_start = false;
        if (kind == '#')
            skip_comment(x);
        else if (kind != '%' || !is_bare_block(x, tag, "raw", &raw_end))
            x->begin_pending = true;
        else if (!t.text.len)
            return raw_block(x, raw_end);
        if (t.text.len)
            return t; /* a raw block comes with the next call */
        if (x->begin_pending)
            return begin_tag(x);
    }
    return token(x, TOKEN_END);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char peek(const struct jinja_lexer *x, size_t ahead)
{
    return x->at + ahead < x->source.len ? x->source.data[x->at + ahead] : 0;
}

/* 12, 1_000, 1.5, 2e10. After a dot only digits: x.0.1 is two subscripts. */
static struct jinja_token lex_number(struct jinja_lexer *x)
{
    char digits[64];
    size_t n = 0, i = 0;
    bool real = false, after_dot = x->at && x->source.data[x->at - 1] == '.';
    for (; n + 1 < sizeof digits; i++) {
        char c = peek(x, i);
        bool exponent = (c == 'e' || c == 'E') && !after_dot &&
                        (is_digit(peek(x, i + 1)) || (strchr("+-", peek(x, i + 1)) && is_digit(peek(x, i + 2))));
        bool point = c == '.' && !real && !after_dot && is_digit(peek(x, i + 1));
        bool sign = (c == '+' || c == '-') && i && strchr("eE", peek(x, i - 1));
        if (c == '_' && is_digit(peek(x, i + 1)))
            continue;
        if (!is_digit(c) && !exponent && !point && !(sign && real))
            break;
        real = real || exponent || point;
        digits[n++] = c;
    }
    digits[n] = 0;
    if (is_name_char(peek(x, i)) || n + 1 == sizeof digits || (!real && n > 18))
        return fail(x, OL_EUNSUPPORTED, "a number of this form is not supported");
    struct jinja_token t = token(x, real ? TOKEN_FLOAT : TOKEN_INT);
    t.real = strtod(digits, NULL);
    t.number = strtoll(digits, NULL, 10);
    advance(x, i);
    return t;
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The escape sequence after a backslash at s (of len bytes): appends what it means, returns its bytes; 0 if bad. */
static size_t unescape(const char *s, size_t len, struct buf *out)
{
    static const char letters[] = "ntrbfav\\'\"", meanings[] = "\n\t\r\b\f\a\v\\'\"";
    if (!len)
        return 0;
    const char *simple = strchr(letters, s[0]);
    if (s[0] && simple) {
        buf_add_char(out, meanings[simple - letters]);
        return 1;
    }
    if (s[0] == '\n')
        return 1;
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0, used = 1;
    uint32_t c = 0;
    if (digits) {
        for (; used <= digits && used < len && hex_digit(s[used]) >= 0; used++)
            c = c << 4 | (uint32_t)hex_digit(s[used]);
        if (used <= digits || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return 0;
    } else if (s[0] >= '0' && s[0] <= '7') {
        for (used = 0; used < 3 && used < len && s[used] >= '0' && s[used] <= '7'; used++)
            c = c << 3 | (uint32_t)(s[used] - '0');
    } else { /* not an escape: both characters stand */
        buf_add_char(out, '\\');
        return s[0] == 'N' ? 0 : (buf_add_char(out, s[0]), 1);
    }
    utf8_append(out, c);
    return used;
}

/* A slice of the source, or, if it has escapes, a copy in the arena. */
static struct jinja_token lex_string(struct jinja_lexer *x)
{
    char quote = peek(x, 0);
    struct jinja_token t = token(x, TOKEN_STRING);
    const char *s = x->source.data + x->at + 1;
    size_t len = x->source.len - x->at - 1, end = 0;
    while (end < len && s[end] != quote)
        end += s[end] == '\\' ? 2 : 1;
    if (end >= len)
        return fail(x, OL_EFORMAT, "a string without its end");
    t.text = (struct text){s, end};
    if (memchr(s, '\\', end)) {
        struct buf b;
        buf_init(&b, end * 4 + 16);
        for (size_t i = 0, used = 1; i < end && used; i += used) {
            used = 1;
            if (s[i] != '\\')
                buf_add_char(&b, s[i]);
            else if ((used = unescape(s + i + 1, end - i - 1, &b)) != 0)
                used++;
            else
                fail(x, OL_EFORMAT, "a bad escape sequence in a string");
        }
        char *copy = x->rc || b.failed ? NULL : arena_alloc(x->memory, b.len + 1);
        if (copy)
            memcpy(copy, buf_str(&b), b.len);
        t.text = (struct text){copy, b.len};
        buf_deinit(&b);
        if (!copy)
            return fail(x, OL_ENOMEM, "no memory");
    }
    advance(x, end + 2);
    return t;
}

static struct jinja_token lex_operator(struct jinja_lexer *x)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 1;
    for (size_t i = 0; i < 6; i++)
        if (at_text(x, x->at, two[i]))
            n = 2;
    char c = peek(x, 0);
    if (n == 1 && (!c || !strchr("+-*/%~[](){}<>=.:|,;", c)))
        return fail(x, OL_EFORMAT, "an unexpected character in a tag");
    x->brackets += strchr("([{", c) != NULL;
    x->brackets -= strchr(")]}", c) != NULL;
    if (x->brackets < 0)
        return fail(x, OL_EFORMAT, "a closing bracket without its opening one");
    struct jinja_token t = token(x, TOKEN_OPERATOR);
    t.text = (struct text){x->source.data + x->at, n};
    advance(x, n);
    return t;
}

/* The end of the tag, if it is here and no bracket is open. */
static bool lex_tag_end(struct jinja_lexer *x, struct jinja_token *t)
{
    const char *end = x->in_output ? "}}" : "%}";
    char sign = peek(x, 0);
    bool signed_end = (sign == '-' || (sign == '+' && !x->in_output)) && at_text(x, x->at + 1, end);
    if (x->brackets || (!signed_end && !at_text(x, x->at, end)))
        return false;
    *t = token(x, x->in_output ? TOKEN_OUTPUT_END : TOKEN_BLOCK_END);
    x->in_tag = false;
    if (!x->in_output) {
        end_block(x, x->at + signed_end, signed_end ? sign : 0);
        return true;
    }
    advance(x, 2 + (size_t)signed_end);
    if (signed_end)
        skip_space(x);
    x->line_start = x->source.data[x->at - 1] == '\n';
    return true;
}

static struct jinja_token next_inside(struct jinja_lexer *x)
{
    struct jinja_token t;
    skip_space(x);
    if (x->at >= x->source.len)
        return fail(x, OL_EFORMAT, "a tag without its end");
    if (lex_tag_end(x, &t))
        return t;
    char c = peek(x, 0);
    if (is_digit(c))
        return lex_number(x);
    if (c == '\'' || c == '"')
        return lex_string(x);
    if (!is_name_char(c))
        return lex_operator(x);
    t = token(x, TOKEN_NAME);
    size_t n = 0;
    while (is_name_char(peek(x, n)))
        n++;
    t.text = (struct text){x->source.data + x->at, n};
    advance(x, n);
    return t;
}

struct jinja_token jinja_next_token(struct jinja_lexer *x)
{
    if (x->rc)
        return token(x, TOKEN_END);
    if (x->in_tag)
        return next_inside(x);
    return x->begin_pending ? begin_tag(x) : next_outside(x);
}
