#include "model/pretokenize.h"

#include "base/buf.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

const char pretokenizer_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

enum {
    MATCH_LIMIT = 50000000,        /* backtracking steps of one match */
    HEAP_LIMIT_KIB = 256 * 1024,   /* memory of one match, without JIT */
    WINDOW_BYTES = 1024,           /* starting points tried before we look at the clock */
    CLOCK_EVERY = 64,              /* matches between two looks at the clock */
    BUDGET_S = 5, BUDGET_NS_PER_BYTE = 2000, /* processor time of one split; real patterns need under 300 ns a byte */
};

void pretokenizer_deinit(struct pretokenizer *p)
{
    for (int i = 0; i < p->n; i++)
        pcre2_code_free(p->stages[i].regex);
    *p = (struct pretokenizer){0};
}

/* What Oniguruma means by \s (White_Space; PCRE2's also has U+180E) and \w (PCRE2's lacks marks). */
static const char *members_of(char escape)
{
    return escape == 's' || escape == 'S'   ? "\\x09-\\x0d\\x{85}\\p{Z}"
           : escape == 'w' || escape == 'W' ? "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
                                            : NULL;
}

/* Writes \s and \w out as sets. What the two libraries read differently otherwise, sets inside sets, is refused. */
static int translate(struct text pattern, struct buf *out, struct err *e)
{
    bool in_class = false;
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.data[i], next = i + 1 < pattern.len ? pattern.data[i + 1] : 0;
        if (c == '\\') {
            const char *members = members_of(next);
            bool capital = next == 'S' || next == 'W';
            if (members && !in_class)
                buf_printf(out, "[%s%s]", capital ? "^" : "", members);
            else if (members && !capital)
                buf_add_str(out, members);
            else
                buf_add(out, pattern.data + i, next ? 2 : 1);
            i++;
            continue;
        }
        if (in_class && ((c == '[' && next != ':') || (c == '&' && next == '&')))
            return err_set(e, OL_EUNSUPPORTED, "tokenizer",
                           "a set inside a set, in the pattern \"%.*s\", is not supported",
                           (int)(pattern.len < 120 ? pattern.len : 120), pattern.data);
        if (in_class && c == '[') { /* "[:name:]" is copied up to its own bracket */
            buf_add_str(out, "[:");
            for (i += 2; i < pattern.len && pattern.data[i] != ']'; i++)
                buf_add_char(out, pattern.data[i]);
            buf_add_str(out, i < pattern.len ? "]" : "");
            continue;
        }
        in_class = in_class ? c != ']' : c == '[';
        buf_add_char(out, c);
    }
    return buf_failed(out) ? err_set(e, OL_ENOMEM, "tokenizer", "no memory for a pattern") : 0;
}

static int compile(const struct buf *pattern, pcre2_code **out, struct err *e)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 50);
    /* Oniguruma's ^ and $ are those of lines. */
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
    int code;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)buf_str(pattern), pattern->len, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!*out) {
        PCRE2_UCHAR why[120] = {0};
        pcre2_get_error_message(code, why, sizeof why);
        return err_set(e, OL_EUNSUPPORTED, "tokenizer", "the pre-tokenizer's pattern does not compile (%s): \"%.100s\"",
                       (const char *)why, buf_str(pattern));
    }
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* only faster: without it pcre2_match interprets */
    return 0;
}

int pretokenizer_add(struct pretokenizer *p, struct text pattern, enum split_behaviour behaviour, bool invert,
                     struct err *e)
{
    if (p->n == PRETOKENIZER_MAX_STAGES)
        return err_set(e, OL_ELIMIT, "tokenizer", "a pre-tokenizer of more than %d stages", PRETOKENIZER_MAX_STAGES);
    if (pattern.len > PRETOKENIZER_MAX_PATTERN_BYTES)
        return err_set(e, OL_ELIMIT, "tokenizer", "a pre-tokenizer pattern of %zu bytes, more than %d", pattern.len,
                       PRETOKENIZER_MAX_PATTERN_BYTES);
    struct buf translated;
    buf_init(&translated, 64 * PRETOKENIZER_MAX_PATTERN_BYTES);
    pcre2_code *regex = NULL;
    int rc = translate(pattern, &translated, e);
    if (!rc)
        rc = compile(&translated, &regex, e);
    buf_deinit(&translated);
    if (rc)
        return rc;
    p->stages[p->n++] = (struct split_stage){regex, behaviour, invert};
    return 0;
}

/* One call of pretokenizer_split. */
struct split {
    const struct pretokenizer *p;
    pretokenizer_emit *emit;
    void *context;
    pcre2_match_context *limits;
    pcre2_match_data *found[PRETOKENIZER_MAX_STAGES];
    unsigned matches;
    int64_t deadline_ns; /* of this thread's processor time */
};

struct piece { /* the segment of one stage that is not passed on yet */
    size_t start, end;
    bool pending, match;
};

static int64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int check_budget(struct split *s, bool look, struct err *e)
{
    if ((++s->matches % CLOCK_EVERY && !look) || thread_cpu_ns() < s->deadline_ns)
        return 0;
    return err_set(e, OL_ELIMIT, "tokenizer", "the pre-tokenizer's pattern takes too long on this text");
}

/* Finds the next match at or after *from: 1 with its bounds, 0 if there is none. */
static int next_match(struct split *s, int stage, const char *text, size_t len, size_t from, size_t *start,
                      size_t *end, struct err *e)
{
    while (from < len) {
        pcre2_set_offset_limit(s->limits, from + WINDOW_BYTES - 1);
        uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
        pcre2_match_data *found = s->found[stage];
        int rc = pcre2_match(s->p->stages[stage].regex, (PCRE2_SPTR)text, len, from, options, found, s->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter's stack is the heap */
            rc = pcre2_match(s->p->stages[stage].regex, (PCRE2_SPTR)text, len, from, options | PCRE2_NO_JIT, found,
                             s->limits);
        if (rc > 0) {
            const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(found);
            *start = bounds[0] < from ? from : bounds[0]; /* \K in a lookbehind can move it */
            *end = bounds[1];
            rc = check_budget(s, false, e);
            return rc ? rc : *end > *start;
        }
        if (rc != PCRE2_ERROR_NOMATCH)
            return err_set(e, OL_ELIMIT, "tokenizer", "the pre-tokenizer's pattern needs too many steps on this text");
        if ((rc = check_budget(s, true, e)))
            return rc;
        from += WINDOW_BYTES;
        while (from < len && ((unsigned char)text[from] & 0xc0) == 0x80)
            from++;
    }
    return 0;
}

static int split_stage(struct split *s, int stage, const char *text, size_t len, struct err *e);

static int flush(struct split *s, int stage, const char *text, struct piece *p, struct err *e)
{
    bool wanted = p->pending && p->end > p->start;
    if (s->p->stages[stage].behaviour == SPLIT_REMOVED && p->match)
        wanted = false;
    p->pending = false;
    return wanted ? split_stage(s, stage + 1, text + p->start, p->end - p->start, e) : 0;
}

/* Takes the next segment: joins it to the pending one, or passes that on and waits with this one. */
static int add_segment(struct split *s, int stage, const char *text, struct piece *p, size_t start, size_t end,
                       bool match, struct err *e)
{
    enum split_behaviour behaviour = s->p->stages[stage].behaviour;
    match ^= s->p->stages[stage].invert;
    bool join = p->pending && ((behaviour == SPLIT_CONTIGUOUS && match == p->match) ||
                               (behaviour == SPLIT_WITH_PREVIOUS && match && !p->match) ||
                               (behaviour == SPLIT_WITH_NEXT && !match && p->match));
    if (!join) {
        int rc = flush(s, stage, text, p, e);
        if (rc)
            return rc;
        p->start = start;
    }
    p->end = end;
    p->match = match;
    p->pending = true;
    return 0;
}

/* Recursion is as deep as there are stages. */
static int split_stage(struct split *s, int stage, const char *text, size_t len, struct err *e)
{
    if (stage == s->p->n)
        return s->emit(s->context, text, len, e);
    struct piece piece = {0};
    size_t at = 0, start = 0, end = 0;
    int rc;
    while ((rc = next_match(s, stage, text, len, at, &start, &end, e)) > 0) {
        if (start > at && (rc = add_segment(s, stage, text, &piece, at, start, false, e)))
            return rc;
        if ((rc = add_segment(s, stage, text, &piece, start, end, true, e)))
            return rc;
        at = end;
    }
    if (!rc && at < len)
        rc = add_segment(s, stage, text, &piece, at, len, false, e);
    return rc ? rc : flush(s, stage, text, &piece, e);
}

int pretokenizer_split(const struct pretokenizer *p, const char *text, size_t len, pretokenizer_emit *emit,
                       void *context, struct err *e)
{
    struct split s = {.p = p, .emit = emit, .context = context, .limits = pcre2_match_context_create(NULL)};
    bool ok = s.limits != NULL;
    for (int i = 0; i < p->n; i++)
        ok = (s.found[i] = pcre2_match_data_create(1, NULL)) != NULL && ok;
    int rc = 0;
    if (!ok)
        rc = err_set(e, OL_ENOMEM, "tokenizer", "no memory to split text");
    else if (len) {
        pcre2_set_match_limit(s.limits, MATCH_LIMIT);
        pcre2_set_heap_limit(s.limits, HEAP_LIMIT_KIB);
        s.deadline_ns = thread_cpu_ns() + BUDGET_S * INT64_C(1000000000) + (int64_t)len * BUDGET_NS_PER_BYTE;
        rc = split_stage(&s, 0, text, len, e);
    }
    for (int i = 0; i < p->n; i++)
        pcre2_match_data_free(s.found[i]);
    pcre2_match_context_free(s.limits);
    return rc;
}
