/* Methods of strings and dicts. Those that change their object do not exist, as in transformers' sandbox.
 *
 * Results are slices of the string wherever they can be, so that splitting or stripping a long message copies nothing.
 * memmem may be used on UTF-8: a valid sequence is never found inside another one. */
#include "model/jinja_builtin.h"

#include "model/utf8.h"

#include <utf8proc.h>

bool jinja_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool strips(struct text set, const char *s, size_t n)
{
    uint32_t c = 0;
    if (!set.data)
        return utf8_scan(s, n, &c) > 0 && jinja_is_space(c);
    return memmem(set.data, set.len, s, n) != NULL; /* a whole UTF-8 character is found only as itself */
}

struct text jinja_strip(struct text s, struct jinja_value set, int sides)
{
    struct text characters = {set.type == JINJA_STRING ? set.text.data : NULL,
                              set.type == JINJA_STRING ? set.text.len : 0};
    while ((sides & JINJA_LEFT) && s.len) {
        uint32_t c;
        int n = utf8_scan(s.data, s.len, &c);
        if (n <= 0 || !strips(characters, s.data, (size_t)n))
            break;
        s.data += n;
        s.len -= (size_t)n;
    }
    while ((sides & JINJA_RIGHT) && s.len) {
        size_t i = s.len - 1;
        while (i && ((unsigned char)s.data[i] & 0xc0) == 0x80)
            i--;
        if (!strips(characters, s.data + i, s.len - i))
            break;
        s.len = i;
    }
    return s;
}

static struct jinja_value text_value(struct text t) { return jinja_text(t.data, t.len); }

static struct text text_arg(struct jinja_run *r, const struct jinja_args *a, size_t i, const char *name)
{
    struct jinja_value v = jinja_arg(a, i, name, jinja_none());
    if (v.type == JINJA_STRING)
        return v.text;
    jinja_fail(r, OL_EINVAL, "argument \"%s\" must be a string, not %s", name, jinja_type_name(v));
    return (struct text){"", 0};
}

/* The optional number i; `fallback` if it is absent. */
static int64_t int_arg(struct jinja_run *r, const struct jinja_args *a, size_t i, const char *name, int64_t fallback)
{
    struct jinja_value v = jinja_arg(a, i, name, jinja_none());
    if (v.type != JINJA_NONE)
        jinja_as_int(r, v, &fallback);
    return fallback;
}

static struct jinja_value m_strip(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    jinja_charge(r, s.text.len / 64);
    return text_value(jinja_strip(s.text, jinja_arg(a, 0, "chars", jinja_none()), JINJA_LEFT | JINJA_RIGHT));
}

static struct jinja_value m_lstrip(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    jinja_charge(r, s.text.len / 64);
    return text_value(jinja_strip(s.text, jinja_arg(a, 0, "chars", jinja_none()), JINJA_LEFT));
}

static struct jinja_value m_rstrip(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    jinja_charge(r, s.text.len / 64);
    return text_value(jinja_strip(s.text, jinja_arg(a, 0, "chars", jinja_none()), JINJA_RIGHT));
}

static bool has_affix(struct text s, struct text affix, bool at_end)
{
    return affix.len <= s.len && !memcmp(at_end ? s.data + s.len - affix.len : s.data, affix.data, affix.len);
}

/* startswith and endswith: a string, or a tuple of them. */
static struct jinja_value affix(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a, bool at_end)
{
    struct jinja_value v = jinja_arg(a, 0, "prefix", jinja_none());
    if (v.type != JINJA_TUPLE || !v.list)
        return jinja_bool(has_affix(s.text, text_arg(r, a, 0, "prefix"), at_end));
    for (size_t i = 0; i < v.list->n && jinja_charge(r, 1); i++)
        if (v.list->items[i].type == JINJA_STRING && has_affix(s.text, v.list->items[i].text, at_end))
            return jinja_bool(true);
    return jinja_bool(false);
}

static struct jinja_value m_startswith(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    return affix(r, s, a, false);
}

static struct jinja_value m_endswith(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    return affix(r, s, a, true);
}

static struct jinja_value m_removeprefix(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    struct text prefix = text_arg(r, a, 0, "prefix");
    return has_affix(s.text, prefix, false) ? jinja_text(s.text.data + prefix.len, s.text.len - prefix.len) : s;
}

static struct jinja_value m_removesuffix(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    struct text suffix = text_arg(r, a, 0, "suffix");
    return has_affix(s.text, suffix, true) ? jinja_text(s.text.data, s.text.len - suffix.len) : s;
}

/* Splits at runs of white space; what is left after `max` cuts stays one piece. */
static struct jinja_value split_words(struct jinja_run *r, struct text s, int64_t max)
{
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    while ((s = jinja_strip(s, jinja_none(), JINJA_LEFT)).len && !r->rc) {
        size_t end = 0;
        uint32_t c;
        for (int n; end < s.len; end += (size_t)(n > 0 ? n : 1)) {
            n = utf8_scan(s.data + end, s.len - end, &c);
            if (max && n > 0 && jinja_is_space(c))
                break;
        }
        max -= max > 0;
        jinja_push(r, list, jinja_text(s.data, end));
        s = (struct text){s.data + end, s.len - end};
    }
    return list;
}

/* The last occurrence; an empty part is found at the end. */
static const char *find_last(struct text s, struct text part)
{
    for (size_t i = s.len < part.len ? 0 : s.len - part.len + 1; i > 0; i--)
        if (!memcmp(s.data + i - 1, part.data, part.len))
            return s.data + i - 1;
    return NULL;
}

static void reverse(struct jinja_list *list)
{
    for (size_t i = 0; list && i < list->n / 2; i++) {
        struct jinja_value swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
}

/* Splits at a separator, from the left or, with `last`, from the right. */
static struct jinja_value split_at(struct jinja_run *r, struct text s, struct text separator, int64_t max, bool last)
{
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    if (!separator.len)
        return jinja_fail(r, OL_EINVAL, "an empty separator");
    for (const char *at; max && jinja_charge(r, 1); max -= max > 0) {
        at = last ? find_last(s, separator) : memmem(s.data, s.len, separator.data, separator.len);
        if (!at)
            break;
        const char *after = at + separator.len, *end = s.data + s.len;
        struct text left = {s.data, (size_t)(at - s.data)}, right = {after, (size_t)(end - after)};
        jinja_push(r, list, text_value(last ? right : left));
        s = last ? left : right;
    }
    jinja_push(r, list, text_value(s));
    if (last)
        reverse(list.list);
    return list;
}

static struct jinja_value m_split(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    struct jinja_value separator = jinja_arg(a, 0, "sep", jinja_none());
    int64_t max = int_arg(r, a, 1, "maxsplit", -1);
    jinja_charge(r, s.text.len / 64);
    if (separator.type == JINJA_NONE)
        return split_words(r, s.text, max);
    return split_at(r, s.text, text_arg(r, a, 0, "sep"), max, false);
}

static struct jinja_value m_rsplit(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    jinja_charge(r, s.text.len / 64);
    return split_at(r, s.text, text_arg(r, a, 0, "sep"), int_arg(r, a, 1, "maxsplit", -1), true);
}

static struct jinja_value m_splitlines(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    (void)a;
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    size_t from = 0, next;
    for (size_t i = 0; i < s.text.len && !r->rc; i = next) {
        uint32_t c = 0;
        int n = utf8_scan(s.text.data + i, s.text.len - i, &c);
        next = i + (size_t)(n > 0 ? n : 1);
        if ((c < 10 || c > 13) && (c < 0x1c || c > 0x1e) && c != 0x85 && c != 0x2028 && c != 0x2029)
            continue;
        if (c == '\r' && next < s.text.len && s.text.data[next] == '\n')
            next++;
        jinja_push(r, list, jinja_text(s.text.data + from, i - from));
        from = next;
    }
    if (from < s.text.len)
        jinja_push(r, list, jinja_text(s.text.data + from, s.text.len - from));
    return list;
}

struct jinja_value jinja_replace(struct jinja_run *r, struct text s, struct text old, struct text new, int64_t count)
{
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    while (count && s.len && jinja_charge(r, 1)) {
        /* An empty pattern is found in front of each character. */
        const char *at = old.len ? memmem(s.data, s.len, old.data, old.len) : s.data;
        if (!at)
            break;
        uint32_t c;
        int n = old.len ? 0 : utf8_scan(s.data, s.len, &c);
        size_t before = (size_t)(at - s.data), skip = before + old.len;
        buf_add(&b, s.data, before);
        buf_add(&b, new.data, new.len);
        buf_add(&b, s.data, n > 0 ? (size_t)n : 0);
        skip += n > 0 ? (size_t)n : 0;
        s = (struct text){s.data + skip, s.len - skip};
        count -= count > 0;
    }
    buf_add(&b, s.data, s.len);
    if (!old.len && !s.len && count)
        buf_add(&b, new.data, new.len);
    return jinja_take(r, &b);
}

static struct jinja_value m_replace(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    return jinja_replace(r, s.text, text_arg(r, a, 0, "old"), text_arg(r, a, 1, "new"), int_arg(r, a, 2, "count", -1));
}

static bool is_cased(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

/* Character by character, by Unicode's simple mappings. */
struct jinja_value jinja_change_case(struct jinja_run *r, struct text s, enum jinja_case how)
{
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    bool start = true; /* of the text, or of a word */
    for (size_t i = 0; i < s.len;) {
        uint32_t c = 0;
        int n = utf8_scan(s.data + i, s.len - i, &c);
        bool upper = how == JINJA_UPPER || (start && how != JINJA_LOWER);
        if (upper && c == 0xdf) /* the one common letter whose capital is two */
            buf_add_str(&b, how == JINJA_UPPER ? "SS" : "Ss");
        else if (upper && how != JINJA_UPPER)
            utf8_append(&b, (uint32_t)utf8proc_totitle((utf8proc_int32_t)c));
        else
            utf8_append(
                &b, (uint32_t)(upper ? utf8proc_toupper((utf8proc_int32_t)c) : utf8proc_tolower((utf8proc_int32_t)c)));
        start = how == JINJA_TITLE && !is_cased(c);
        i += (size_t)(n > 0 ? n : 1);
    }
    return jinja_take(r, &b);
}

static struct jinja_value m_upper(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, s.text, JINJA_UPPER);
}

static struct jinja_value m_lower(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, s.text, JINJA_LOWER);
}

static struct jinja_value m_title(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, s.text, JINJA_TITLE);
}

static struct jinja_value m_capitalize(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, s.text, JINJA_CAPITALIZE);
}

/* Position in characters of what was found at `at`, or −1. */
static struct jinja_value position(struct jinja_run *r, struct text s, const char *at)
{
    return jinja_int(at ? jinja_length(r, jinja_text(s.data, (size_t)(at - s.data))) : -1);
}

static struct jinja_value m_find(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    struct text part = text_arg(r, a, 0, "sub");
    jinja_charge(r, s.text.len / 64);
    return position(r, s.text, part.len ? memmem(s.text.data, s.text.len, part.data, part.len) : s.text.data);
}

static struct jinja_value m_rfind(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    jinja_charge(r, s.text.len / 64);
    return position(r, s.text, find_last(s.text, text_arg(r, a, 0, "sub")));
}

static struct jinja_value m_count(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    struct jinja_value parts = split_at(r, s.text, text_arg(r, a, 0, "sub"), -1, false);
    return jinja_int(jinja_is_list(parts) ? (int64_t)parts.list->n - 1 : 0);
}

struct jinja_value jinja_join(struct jinja_run *r, struct text separator, struct jinja_value items)
{
    const struct jinja_list *list = jinja_iterate(r, items);
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    for (size_t i = 0; list && i < list->n && jinja_charge(r, 1); i++) {
        if (i)
            buf_add(&b, separator.data, separator.len);
        jinja_print(r, list->items[i], &b);
    }
    return jinja_take(r, &b);
}

static struct jinja_value m_join(struct jinja_run *r, struct jinja_value s, const struct jinja_args *a)
{
    const struct jinja_list *list = jinja_iterate(r, jinja_arg(a, 0, "iterable", jinja_none()));
    for (size_t i = 0; list && i < list->n; i++)
        if (list->items[i].type != JINJA_STRING)
            return jinja_fail(r, OL_EINVAL, "join: item %zu is %s, not a string", i, jinja_type_name(list->items[i]));
    return jinja_join(r, s.text, jinja_arg(a, 0, "iterable", jinja_none()));
}

static struct jinja_value m_items(struct jinja_run *r, struct jinja_value d, const struct jinja_args *a)
{
    (void)a;
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    for (size_t i = 0; i < d.dict->n && !r->rc; i++) {
        struct jinja_value pair = jinja_new_list(r, JINJA_TUPLE);
        jinja_push(r, pair, d.dict->pairs[i].key);
        jinja_push(r, pair, d.dict->pairs[i].value);
        jinja_push(r, list, pair);
    }
    return list;
}

static struct jinja_value m_keys(struct jinja_run *r, struct jinja_value d, const struct jinja_args *a)
{
    (void)a;
    return (struct jinja_value){.type = JINJA_LIST, .list = (struct jinja_list *)jinja_iterate(r, d)};
}

static struct jinja_value m_values(struct jinja_run *r, struct jinja_value d, const struct jinja_args *a)
{
    (void)a;
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    for (size_t i = 0; i < d.dict->n && !r->rc; i++)
        jinja_push(r, list, d.dict->pairs[i].value);
    return list;
}

static struct jinja_value m_get(struct jinja_run *r, struct jinja_value d, const struct jinja_args *a)
{
    const struct jinja_value *v = jinja_dict_find(r, d.dict, jinja_arg(a, 0, "key", jinja_none()));
    return v ? *v : jinja_arg(a, 1, "default", jinja_none());
}

static const struct {
    enum jinja_type type;
    const char *name;
    struct jinja_value (*call)(struct jinja_run *, struct jinja_value, const struct jinja_args *);
} methods[] = {
    {JINJA_STRING, "strip", m_strip},           {JINJA_STRING, "lstrip", m_lstrip},
    {JINJA_STRING, "rstrip", m_rstrip},         {JINJA_STRING, "startswith", m_startswith},
    {JINJA_STRING, "endswith", m_endswith},     {JINJA_STRING, "removeprefix", m_removeprefix},
    {JINJA_STRING, "removesuffix", m_removesuffix}, {JINJA_STRING, "split", m_split},
    {JINJA_STRING, "rsplit", m_rsplit},         {JINJA_STRING, "splitlines", m_splitlines},
    {JINJA_STRING, "replace", m_replace},       {JINJA_STRING, "upper", m_upper},
    {JINJA_STRING, "lower", m_lower},           {JINJA_STRING, "title", m_title},
    {JINJA_STRING, "capitalize", m_capitalize}, {JINJA_STRING, "find", m_find},
    {JINJA_STRING, "rfind", m_rfind},           {JINJA_STRING, "count", m_count},
    {JINJA_STRING, "join", m_join},             {JINJA_DICT, "items", m_items},
    {JINJA_DICT, "keys", m_keys},               {JINJA_DICT, "values", m_values},
    {JINJA_DICT, "get", m_get},
};

struct jinja_value jinja_bind_method(struct jinja_run *r, struct jinja_value self, struct text name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (methods[i].type != self.type || strlen(methods[i].name) != name.len ||
            memcmp(methods[i].name, name.data, name.len))
            continue;
        struct jinja_method *m = jinja_alloc(r, sizeof *m);
        if (!m)
            break;
        *m = (struct jinja_method){self, methods[i].call};
        return (struct jinja_value){.type = JINJA_METHOD, .method = m};
    }
    return jinja_undefined(name);
}
