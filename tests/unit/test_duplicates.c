/* Same, near and overlapping rows against plain definitions on random texts. */
#include "attribution/duplicates.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 400, ROWS = 40 };

struct text { /* words as numbers, so that the definitions need no parsing */
    int word[MOST_WORDS];
    int n;
};

static unsigned seed;
static unsigned draw(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return seed / 65536 % below;
}

static void write_text(const struct text *t, struct buf *out)
{
    static const char *const blanks[] = {" ", ", ", "\n", ". "};
    buf_reset(out);
    for (int i = 0; i < t->n; i++)
        buf_printf(out, draw(2) ? "w%dx%s" : "W%dX%s", t->word[i], blanks[draw(4)]);
}

static void add(struct duplicates *d, const struct text *t, struct duplicate *found, bool keep)
{
    struct buf text;
    struct duplicate_row row;
    buf_init(&text, 1 << 20);
    write_text(t, &text);
    ck_assert_int_eq(duplicate_row_init(&row, buf_str(&text), text.len, buf_str(&text), text.len, NULL), 0);
    ck_assert_uint_eq(row.n_said, t->n);
    if (found)
        ck_assert_int_eq(duplicates_find(d, &row, found, NULL), 0);
    if (keep)
        ck_assert_int_eq(duplicates_add(d, &row, NULL), 0);
    else
        duplicate_row_free(&row);
    buf_deinit(&text);
}

/* ---- the definitions */

static bool same(const struct text *a, const struct text *b)
{
    return a->n == b->n && memcmp(a->word, b->word, (size_t)a->n * sizeof *a->word) == 0;
}

static int run_at(const struct text *a, int i, const struct text *b, int k)
{
    int n = 0;
    while (i + n < a->n && k + n < b->n && a->word[i + n] == b->word[k + n])
        n++;
    return n;
}

static int distinct(const struct text *a, const struct text *b, bool common)
{
    int count = 0;
    for (int i = 0; i + 5 <= a->n; i++) {
        bool earlier = false, there = false;
        for (int k = 0; k < i && !earlier; k++)
            earlier = run_at(a, i, a, k) >= 5;
        for (int k = 0; b && k + 5 <= b->n && !there; k++)
            there = run_at(a, i, b, k) >= 5;
        count += !earlier && (!common || there);
    }
    return count;
}

static double jaccard(const struct text *a, const struct text *b)
{
    int both = distinct(a, b, true), all = distinct(a, NULL, false) + distinct(b, NULL, false) - both;
    return all ? (double)both / all : 0;
}

static int longest(const struct text *a, const struct text *b)
{
    int best = 0;
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++) {
            int n = run_at(a, i, b, k);
            best = n > best ? n : best;
        }
    return best;
}

/* Words of `a` in runs of 50 or more of any of the rows. */
static size_t covered(const struct text *a, const struct text *rows, int n)
{
    bool in[MOST_WORDS] = {false};
    size_t count = 0;
    for (int r = 0; r < n; r++)
        for (int i = 0; i < a->n; i++)
            for (int k = 0; k < rows[r].n; k++) {
                int run = run_at(a, i, &rows[r], k);
                for (int w = i; run >= OVERLAP_WORDS && w < i + run; w++)
                    in[w] = true;
            }
    for (int i = 0; i < a->n; i++)
        count += in[i];
    return count;
}

/* ---- random rows, many of them made of pieces of earlier ones */

static void make(struct text *t, const struct text *rows, int n)
{
    unsigned vocabulary = draw(4) ? 100000 : 3;
    t->n = 0;
    int target = 20 + (int)draw(MOST_WORDS - 20);
    while (t->n < target) {
        const struct text *from = n && draw(2) ? &rows[draw((unsigned)n)] : NULL;
        int length = (int)draw(120) + 1, start = from ? (int)draw((unsigned)from->n) : 0;
        for (int i = 0; i < length && t->n < target && (!from || start + i < from->n); i++)
            t->word[t->n++] = from ? from->word[start + i] : (int)draw(vocabulary);
    }
}

static void change_some(struct text *t)
{
    for (unsigned changes = draw(8); changes; changes--)
        t->word[draw((unsigned)t->n)] = (int)draw(100000);
}

static void check_rows(int kinds[4])
{
    static struct text rows[ROWS];
    struct duplicates *d = duplicates_open();
    for (int n = 0; n < ROWS; n++) {
        struct duplicate found;
        if (n && draw(3) == 0) {
            rows[n] = rows[draw((unsigned)n)];
            change_some(&rows[n]);
        } else {
            make(&rows[n], rows, n);
        }
        add(d, &rows[n], &found, true);
        int first_same = -1, first_near = -1, first_run = -1;
        for (int k = n - 1; k >= 0; k--) {
            first_same = same(&rows[n], &rows[k]) ? k : first_same;
            first_near = jaccard(&rows[n], &rows[k]) >= 0.8 ? k : first_near;
            first_run = longest(&rows[n], &rows[k]) >= OVERLAP_WORDS ? k : first_run;
        }
        int expected = first_same >= 0 ? DUPLICATE_SAME
                       : first_near >= 0 ? DUPLICATE_NEAR
                       : first_run >= 0 ? DUPLICATE_OVERLAP
                                        : DUPLICATE_NONE;
        ck_assert_int_eq(found.kind, expected);
        kinds[expected]++;
        if (expected == DUPLICATE_SAME)
            ck_assert_int_eq((int)found.of, first_same);
        if (expected == DUPLICATE_NEAR)
            ck_assert_int_eq((int)found.of, first_near);
        if (expected == DUPLICATE_OVERLAP) {
            ck_assert_int_eq((int)found.of, first_run);
            ck_assert_uint_eq(found.words, covered(&rows[n], rows, n));
        }
    }
    duplicates_close(d);
}

START_TEST(test_against_definitions)
{
    int kinds[4] = {0};
    for (seed = 1; seed < 4; seed++) {
        unsigned kept = seed;
        check_rows(kinds);
        seed = kept;
    }
    for (int k = 0; k < 4; k++)
        ck_assert_int_gt(kinds[k], 0);
}
END_TEST

/* Fifty words are a run, forty-nine are none, wherever they stand. */
START_TEST(test_the_bound)
{
    static struct text long_one, other;
    for (int start = 0; start <= 150; start += 7)
        for (int length = OVERLAP_WORDS - 1; length <= OVERLAP_WORDS; length++) {
            struct duplicates *d = duplicates_open();
            struct duplicate found;
            long_one.n = other.n = 200;
            for (int i = 0; i < 200; i++) {
                long_one.word[i] = i;
                other.word[i] = i >= start && i < start + length ? i : 1000 + i;
            }
            add(d, &long_one, NULL, true);
            add(d, &other, &found, false);
            ck_assert_int_eq(found.kind, length == OVERLAP_WORDS ? DUPLICATE_OVERLAP : DUPLICATE_NONE);
            ck_assert_uint_eq(found.words, length == OVERLAP_WORDS ? OVERLAP_WORDS : 0);
            duplicates_close(d);
        }
}
END_TEST

/* The shortest row that can hold a run: nothing around it, so that every fingerprint counts. */
START_TEST(test_nothing_but_a_run)
{
    static struct text long_one, other;
    struct duplicates *d = duplicates_open();
    struct duplicate found;
    long_one.n = 400;
    for (int i = 0; i < long_one.n; i++)
        long_one.word[i] = i;
    add(d, &long_one, NULL, true);
    for (int start = 0; start + OVERLAP_WORDS <= long_one.n; start++) {
        other.n = OVERLAP_WORDS;
        for (int i = 0; i < other.n; i++)
            other.word[i] = start + i;
        add(d, &other, &found, false);
        ck_assert_int_eq(found.kind, DUPLICATE_OVERLAP);
    }
    duplicates_close(d);
}
END_TEST

/* A text of few different words must not make the search slow. */
START_TEST(test_monotonous)
{
    struct buf text;
    buf_init(&text, 8 << 20);
    for (int i = 0; i < 100000; i++)
        buf_add_str(&text, i % 49 == 48 ? "b " : "a ");
    struct duplicates *d = duplicates_open();
    for (int i = 0; i < 3; i++) {
        struct duplicate_row row;
        struct duplicate found;
        buf_printf(&text, "c%d", i);
        ck_assert_int_eq(duplicate_row_init(&row, buf_str(&text), text.len, buf_str(&text), text.len, NULL), 0);
        ck_assert_int_eq(duplicates_find(d, &row, &found, NULL), 0);
        ck_assert_int_eq(duplicates_add(d, &row, NULL), 0);
    }
    duplicates_close(d);
    buf_deinit(&text);
}
END_TEST

START_TEST(test_empty_rows)
{
    struct duplicates *d = duplicates_open();
    for (int i = 0; i < 3; i++) {
        struct duplicate_row row;
        struct duplicate found;
        ck_assert_int_eq(duplicate_row_init(&row, "!?", 2, "", 0, NULL), 0);
        ck_assert_int_eq(duplicates_find(d, &row, &found, NULL), 0);
        ck_assert_int_eq(found.kind, DUPLICATE_NONE);
        ck_assert_int_eq(duplicates_add(d, &row, NULL), 0);
    }
    duplicates_close(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("duplicates");
    TCase *t = tcase_create("duplicates");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_against_definitions);
    tcase_add_test(t, test_nothing_but_a_run);
    tcase_add_test(t, test_the_bound);
    tcase_add_test(t, test_monotonous);
    tcase_add_test(t, test_empty_rows);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
