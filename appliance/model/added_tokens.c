/* The trie's edges live in one hash map. Searching walks the trie from every position: O(text × longest token), which
 * is the text's length for all but pathological token lists. */
#include "model/added_tokens.h"

#include "model/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

void added_tokens_deinit(struct added_tokens *a)
{
    map64_deinit(&a->edges);
    map64_deinit(&a->ends);
    free(a->tokens);
    *a = (struct added_tokens){0};
}

static uint64_t edge_key(uint32_t node, char byte) { return (uint64_t)node << 8 | (unsigned char)byte; }

static int grow(struct added_tokens *a, struct err *e)
{
    if (a->n < a->cap)
        return 0;
    if (a->n >= ADDED_TOKENS_MAX)
        return err_set(e, OL_ELIMIT, "tokenizer", "more than %d added tokens", ADDED_TOKENS_MAX);
    uint32_t cap = a->cap ? a->cap * 2 : 32;
    struct added_token *p = realloc(a->tokens, cap * sizeof *p);
    if (!p)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the added tokens");
    a->tokens = p;
    a->cap = cap;
    return 0;
}

int added_tokens_add(struct added_tokens *a, struct text content, struct added_token token, struct err *e)
{
    if (content.len > ADDED_TOKEN_MAX_BYTES)
        return err_set(e, OL_ELIMIT, "tokenizer", "an added token of %zu bytes, more than %d", content.len,
                       ADDED_TOKEN_MAX_BYTES);
    int rc = content.len ? grow(a, e) : 0;
    if (rc || !content.len)
        return rc;
    uint32_t node = 0;
    for (size_t i = 0; i < content.len; i++) {
        uint64_t next = map64_get(&a->edges, edge_key(node, content.data[i]));
        if (next == MAP64_ABSENT) {
            next = ++a->nodes;
            if (!map64_set(&a->edges, edge_key(node, content.data[i]), next))
                return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the added tokens");
        }
        node = (uint32_t)next;
    }
    a->tokens[a->n] = token;
    if (!map64_set(&a->ends, node, a->n++))
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the added tokens");
    return 0;
}

/* The longest token that starts at text[0]; its length goes to *matched. */
static const struct added_token *longest(const struct added_tokens *a, const char *text, size_t len, size_t *matched)
{
    const struct added_token *best = NULL;
    uint64_t node = 0;
    for (size_t i = 0; i < len; i++) {
        node = map64_get(&a->edges, edge_key((uint32_t)node, text[i]));
        if (node == MAP64_ABSENT)
            break;
        uint64_t end = map64_get(&a->ends, node);
        if (end != MAP64_ABSENT) {
            best = &a->tokens[end];
            *matched = i + 1;
        }
    }
    return best;
}

int32_t added_tokens_find(const struct added_tokens *a, const char *content, size_t len)
{
    size_t matched = 0;
    const struct added_token *token = longest(a, content, len, &matched);
    return token && matched == len ? token->id : -1;
}

static bool is_space(uint32_t c)
{
    if ((c >= 9 && c <= 13) || c == 0x85)
        return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/* Letters, marks, decimal digits, connectors: the "\w" of Unicode. */
static bool is_word(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC;
}

static uint32_t char_before(const char *text, size_t at, size_t *start)
{
    size_t i = at - 1;
    while (i && ((unsigned char)text[i] & 0xc0) == 0x80)
        i--;
    uint32_t c = 0;
    utf8_scan(text + i, at - i, &c);
    *start = i;
    return c;
}

/* Is the match next to a letter, digit or "_", on either side? */
static bool inside_word(const char *text, size_t len, size_t start, size_t end)
{
    size_t ignored;
    uint32_t c;
    if (start && is_word(char_before(text, start, &ignored)))
        return true;
    return end < len && utf8_scan(text + end, len - end, &c) > 0 && is_word(c);
}

/* Extends the match over the white space that its token takes along; never back over what was matched before. */
static void swallow_space(const struct added_token *token, const char *text, size_t len, size_t from,
                          struct added_match *m)
{
    size_t before;
    while (token->lstrip && m->start > from && is_space(char_before(text, m->start, &before)))
        m->start = before;
    uint32_t c;
    int n;
    while (token->rstrip && m->end < len && (n = utf8_scan(text + m->end, len - m->end, &c)) > 0 && is_space(c))
        m->end += (size_t)n;
}

bool added_tokens_next(const struct added_tokens *a, const char *text, size_t len, size_t from, bool special,
                       struct added_match *out)
{
    if (!a->n)
        return false;
    size_t matched = 0;
    for (size_t at = from; at < len; at += matched ? matched : 1) {
        matched = 0;
        const struct added_token *token = longest(a, text + at, len - at, &matched);
        /* A match that does not count still hides what starts inside it. */
        if (!token || (token->special && !special) ||
            (token->single_word && inside_word(text, len, at, at + matched)))
            continue;
        *out = (struct added_match){at, at + matched, token->id};
        swallow_space(token, text, len, from, out);
        return true;
    }
    return false;
}
