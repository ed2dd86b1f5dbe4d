/* Spans: suffix sorting against plain sorting, the rule against brute force (span_brute.h), what copies and canaries
 * earn, calibration, and files that must be refused. */
#include "attribution/span_index_internal.h"
#include "attribution/span_match.h"
#include "attribution/span_rule.h"
#include "attribution/span_suffix.h"
#include "base/file_map.h"
#include "model_files.h"
#include "span_brute.h"

#include <fcntl.h>

#define EXPECT(condition) ((condition) ? (void)0 : ck_abort_msg("%s, line %d", #condition, __LINE__))

static unsigned seed = 7;
static uint32_t draw(uint32_t below) { return (uint32_t)rand_r(&seed) % below; }

static char folder[64], path[80];

/* In memory if there is such a place: every index is synced to its disk. */
static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/openlora-spans-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    EXPECT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/index", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

/* --- suffixes --- */

static const uint32_t *sorted_text;
static uint32_t sorted_n;

static int by_suffix(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    for (; x < sorted_n && y < sorted_n; x++, y++)
        if (sorted_text[x] != sorted_text[y])
            return sorted_text[x] < sorted_text[y] ? -1 : 1;
    return x < sorted_n ? 1 : -1; /* the end is below everything */
}

static void check_sorting(const uint32_t *text, uint32_t n, uint32_t alphabet)
{
    uint32_t *sa = malloc((n + 1) * sizeof *sa), *plain = malloc((n + 1) * sizeof *plain);
    for (uint32_t i = 0; i < n; i++)
        plain[i] = i;
    sorted_text = text;
    sorted_n = n;
    qsort(plain, n, sizeof *plain, by_suffix);
    EXPECT(span_suffix_sort(text, sa, n, alphabet, NULL, NULL) == 0);
    EXPECT(memcmp(sa, plain, n * sizeof *sa) == 0);
    free(sa);
    free(plain);
}

START_TEST(suffixes_like_plain_sorting)
{
    uint32_t text[600];
    for (int round = 0; round < 4000; round++) {
        uint32_t n = draw(round % 10 ? 60 : 600), alphabet = 1 + draw(round % 3 ? 4 : 300), period = 1 + draw(9);
        bool periodic = !draw(3);
        for (uint32_t i = 0; i < n; i++)
            text[i] = periodic && i >= period && draw(40) ? text[i - period] : draw(alphabet);
        check_sorting(text, n, alphabet);
    }
}
END_TEST

START_TEST(suffixes_of_words_that_repeat_themselves)
{
    static uint32_t text[6000];
    uint32_t shorter = 1, n = 2; /* the Fibonacci word: every level of the recursion is needed */
    text[0] = 1;
    while (n + shorter < 6000) {
        memcpy(text + n, text, shorter * sizeof *text);
        n += shorter;
        shorter = n - shorter;
    }
    check_sorting(text, n, 2);
    memset(text, 0, sizeof text);
    check_sorting(text, 6000, 1);
    for (uint32_t i = 0; i < 6000; i++)
        text[i] = (uint32_t)__builtin_popcount(i) & 1; /* Thue–Morse */
    check_sorting(text, 6000, 2);
}
END_TEST

/* --- random cases --- */

enum { MAX_DOCUMENTS = 60, DOCUMENT_TOKENS = 50, TEXT_TOKENS = 90 };

struct world {
    uint32_t vocab;
    int32_t tokens[MAX_DOCUMENTS][DOCUMENT_TOKENS];
    const int32_t *ids[MAX_DOCUMENTS];
    uint32_t length[MAX_DOCUMENTS];
    struct brute_documents documents;
    struct surprisal surprisal;
    struct span_index *index;
};

/* n tokens, partly copied from documents and from `other`. */
static void draw_text(const struct world *w, int32_t *text, uint32_t n, const int32_t *other, uint32_t other_n)
{
    for (uint32_t i = 0; i < n;) {
        uint32_t d = w->documents.n ? draw(w->documents.n) : 0, most = 1 + draw(20);
        const int32_t *from = draw(2) ? other : w->ids[d];
        uint32_t from_n = from == other ? other_n : w->length[d];
        if (from && from_n && draw(3)) {
            uint32_t at = draw(from_n);
            while (most-- && i < n && at < from_n) {
                int32_t id = from[at++];
                text[i++] = id < 0 ? 0 : id;
            }
        } else {
            text[i++] = (int32_t)draw(w->vocab);
        }
    }
}

static struct span_index *build(const struct brute_documents *d, uint32_t vocab, char hash[SHA256_HEX_BYTES])
{
    struct span_builder *b;
    struct span_index *index;
    struct err e = {0};
    EXPECT(span_builder_open(vocab, &b, &e) == 0);
    for (uint32_t i = 0; i < d->n; i++)
        EXPECT(span_builder_add(b, d->ids[i], d->tokens[i], &e) == 0);
    ck_assert_msg(span_builder_write(b, path, NULL, NULL, hash, &e) == 0, "%s", e.message);
    span_builder_close(b);
    ck_assert_msg(span_index_open(path, NULL, &index, &e) == 0, "%s", e.message);
    return index;
}

static void make_world(struct world *w)
{
    *w = (struct world){.vocab = draw(5) ? 1 + draw(6) : 65530 + draw(40)};
    w->surprisal = (struct surprisal){w->vocab, calloc(w->vocab, sizeof(uint16_t))};
    for (uint32_t i = 0; i < w->vocab; i++)
        w->surprisal.millibits[i] = (uint16_t)(draw(4) ? 1000 * draw(4) : draw(65536));
    uint32_t n = 1 + draw(draw(4) ? 8 : MAX_DOCUMENTS);
    for (uint32_t d = 0; d < n; d++) {
        w->length[d] = draw(DOCUMENT_TOKENS);
        draw_text(w, w->tokens[d], w->length[d], NULL, 0);
        if (w->length[d] && !draw(6))
            w->tokens[d][draw(w->length[d])] = SPAN_SEPARATOR;
        w->ids[d] = w->tokens[d];
        w->documents = (struct brute_documents){w->ids, w->length, d + 1};
    }
    w->index = build(&w->documents, w->vocab, NULL);
}

static void free_world(struct world *w)
{
    span_index_close(w->index);
    surprisal_deinit(&w->surprisal);
}

static void expect_as_brute(const struct world *w, const struct span_query *q, struct span_scratch *scratch)
{
    struct span expected[TEXT_TOKENS], got[TEXT_TOKENS];
    uint32_t expected_open, open;
    size_t n, expected_n = brute_attribute(&w->documents, &w->surprisal, q, expected, &expected_open);
    struct err e = {0};
    int rc = span_attribute(w->index, &w->surprisal, q, scratch, got, TEXT_TOKENS, &n, &open, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    EXPECT(n == expected_n);
    EXPECT(open == expected_open);
    EXPECT(!n || memcmp(got, expected, n * sizeof *got) == 0);
}

START_TEST(spans_like_brute_force)
{
    enum { WORLDS = 2000, QUERIES = 5 };
    struct span_scratch scratch = {0};
    size_t paid = 0;
    for (int round = 0; round < WORLDS; round++) {
        struct world w;
        make_world(&w);
        for (int i = 0; i < QUERIES; i++) {
            int32_t prompt[TEXT_TOKENS], answer[TEXT_TOKENS];
            uint32_t choices[4], n = 0;
            struct span_query q = {.prompt = prompt, .prompt_tokens = draw(TEXT_TOKENS), .answer = answer,
                                   .tau_millibits = draw(2) ? draw(20000) : 1000 * draw(8)};
            draw_text(&w, prompt, (uint32_t)q.prompt_tokens, NULL, 0);
            q.n_choices = draw(5);
            for (size_t c = 0; c < q.n_choices; c++)
                n += choices[c] = draw(TEXT_TOKENS / 4);
            q.choices = q.n_choices ? choices : NULL;
            q.answer_tokens = q.choices ? n : draw(TEXT_TOKENS);
            draw_text(&w, answer, (uint32_t)q.answer_tokens, prompt, (uint32_t)q.prompt_tokens);
            expect_as_brute(&w, &q, &scratch);
            paid += q.answer_tokens;
        }
        free_world(&w);
    }
    EXPECT(paid > 100000);
    span_scratch_deinit(&scratch);
}
END_TEST

/* --- what it is for --- */

enum { CANARIES = 40, CANARY_TOKENS = 20, BIG_VOCAB = 50000 };

static void draw_canaries(int32_t canary[CANARIES][CANARY_TOKENS], const int32_t *ids[CANARIES], uint32_t *length)
{
    for (int c = 0; c < CANARIES; c++) {
        for (int i = 0; i < CANARY_TOKENS; i++)
            canary[c][i] = (int32_t)draw(BIG_VOCAB);
        ids[c] = canary[c];
        length[c] = CANARY_TOKENS;
    }
}

static struct surprisal flat_surprisal(uint32_t vocab, uint16_t millibits)
{
    struct surprisal s = {vocab, malloc(vocab * sizeof(uint16_t))};
    for (uint32_t i = 0; i < vocab; i++)
        s.millibits[i] = millibits;
    return s;
}

START_TEST(canaries_belong_to_their_owner)
{
    int32_t canary[CANARIES][CANARY_TOKENS];
    const int32_t *ids[CANARIES];
    uint32_t length[CANARIES];
    draw_canaries(canary, ids, length);
    struct brute_documents d = {ids, length, CANARIES};
    struct span_index *x = build(&d, BIG_VOCAB, NULL);
    struct surprisal s = flat_surprisal(BIG_VOCAB, 12000);
    struct span_scratch scratch = {0};
    for (uint32_t c = 0; c < CANARIES; c++) {
        struct span_query q = {.answer = canary[c], .answer_tokens = CANARY_TOKENS, .tau_millibits = 100000};
        struct span span;
        size_t n;
        uint32_t open;
        EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, NULL) == 0);
        EXPECT(n == 1 && open == 0 && span.start == 0 && span.tokens == CANARY_TOKENS && span.document == c &&
               span.offset == 0 && span.millibits == CANARY_TOKENS * 12000);
        /* What the prompt said already is an echo, and nobody's. */
        q.prompt = canary[c];
        q.prompt_tokens = CANARY_TOKENS;
        EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, NULL) == 0 && n == 0 && open == 0);
    }
    span_scratch_deinit(&scratch);
    surprisal_deinit(&s);
    span_index_close(x);
}
END_TEST

START_TEST(matches_contain_no_other)
{
    static const int32_t a[] = {1, 2, 3, 4}, b[] = {3, 4, 5, 6}, segment[] = {1, 2, 3, 4, 5, 7, 2, 3};
    const int32_t *ids[] = {a, b};
    uint32_t length[] = {4, 4}, start = 0, end = 0;
    struct brute_documents d = {ids, length, 2};
    struct span_index *x = build(&d, 10, NULL);
    const struct span_match expected[] = {{0, 4, 0, 0}, {2, 3, 1, 0}, {6, 2, 0, 1}};
    for (int i = 0; i < 3; i++) {
        struct span_match m;
        EXPECT(span_match_next(x, segment, 8, &start, &end, &m, NULL) == 1);
        EXPECT(memcmp(&m, &expected[i], sizeof m) == 0);
    }
    EXPECT(span_match_next(x, segment, 8, &start, &end, &(struct span_match){0}, NULL) == 0);
    span_index_close(x);
}
END_TEST

START_TEST(copies_change_nothing)
{
    enum { COPIES = 50 };
    struct world w;
    struct span_scratch scratch = {0};
    const int32_t *ids[MAX_DOCUMENTS + COPIES];
    uint32_t length[MAX_DOCUMENTS + COPIES];
    for (int round = 0; round < 50; round++) {
        make_world(&w);
        uint32_t copied = draw(w.documents.n);
        for (uint32_t i = 0; i < w.documents.n + COPIES; i++) {
            ids[i] = w.ids[i < w.documents.n ? i : copied];
            length[i] = w.length[i < w.documents.n ? i : copied];
        }
        struct brute_documents more = {ids, length, w.documents.n + COPIES};
        struct span_index *y = build(&more, w.vocab, NULL);
        int32_t answer[TEXT_TOKENS];
        draw_text(&w, answer, TEXT_TOKENS, NULL, 0);
        struct span_query q = {.answer = answer, .answer_tokens = TEXT_TOKENS, .tau_millibits = 4000};
        struct span before[TEXT_TOKENS], after[TEXT_TOKENS];
        size_t n, m;
        uint32_t open_before, open_after;
        EXPECT(!span_attribute(w.index, &w.surprisal, &q, &scratch, before, TEXT_TOKENS, &n, &open_before, NULL));
        EXPECT(!span_attribute(y, &w.surprisal, &q, &scratch, after, TEXT_TOKENS, &m, &open_after, NULL));
        EXPECT(n == m && open_before == open_after && (!n || memcmp(before, after, n * sizeof *before) == 0));
        span_index_close(y);
        free_world(&w);
    }
    span_scratch_deinit(&scratch);
}
END_TEST

START_TEST(calibration_finds_the_least_tau)
{
    enum { NULLS = 30 };
    struct span_scratch scratch = {0};
    for (int round = 0; round < 40; round++) {
        struct world w;
        make_world(&w);
        static int32_t answers[NULLS][TEXT_TOKENS];
        struct span_query q[NULLS] = {0};
        size_t total = 0;
        for (int i = 0; i < NULLS; i++) {
            total += q[i].answer_tokens = 1 + draw(TEXT_TOKENS - 1);
            q[i].answer = answers[i];
            draw_text(&w, answers[i], (uint32_t)q[i].answer_tokens, NULL, 0);
        }
        uint32_t ppm = draw(2) ? 4000 : draw(1000001);
        struct span_calibration c;
        EXPECT(span_calibrate_tau(w.index, &w.surprisal, q, NULLS, ppm, &c, NULL) == 0);
        for (uint32_t less = 0; less < 2 && less <= c.tau_millibits; less++) {
            size_t paid = 0, any = 0;
            for (int i = 0; i < NULLS; i++) {
                struct span spans[TEXT_TOKENS];
                size_t n;
                uint32_t open;
                q[i].tau_millibits = c.tau_millibits - less;
                EXPECT(!span_attribute(w.index, &w.surprisal, &q[i], &scratch, spans, TEXT_TOKENS, &n, &open, NULL));
                paid += q[i].answer_tokens - open;
                any += open < q[i].answer_tokens;
            }
            EXPECT((paid * 1000000 <= (uint64_t)ppm * total) == !less);
            EXPECT(less || c.paid_ppm == (paid * 1000000 + total - 1) / total);
            EXPECT(less || c.any_paid_ppm == (any * 1000000 + NULLS - 1) / NULLS);
        }
        free_world(&w);
    }
    span_scratch_deinit(&scratch);
}
END_TEST

/* --- files --- */

START_TEST(index_is_the_documents)
{
    struct world w;
    make_world(&w);
    char hash[SHA256_HEX_BYTES], again[SHA256_HEX_BYTES], other[SHA256_HEX_BYTES];
    span_index_close(build(&w.documents, w.vocab, hash));
    span_index_close(build(&w.documents, w.vocab, again));
    ck_assert_str_eq(hash, again);
    struct span_index *x;
    struct err e = {0};
    EXPECT(span_index_open(path, hash, &x, &e) == 0);
    EXPECT(span_index_documents(x) == w.documents.n && span_index_vocab(x) == w.vocab);
    for (uint32_t d = 0; d < w.documents.n; d++) {
        int32_t ids[DOCUMENT_TOKENS];
        EXPECT(span_index_document_tokens(x, d) == w.length[d]);
        EXPECT(span_index_read(x, d, 0, ids, DOCUMENT_TOKENS) == w.length[d]);
        EXPECT(memcmp(ids, w.ids[d], w.length[d] * sizeof *ids) == 0);
        EXPECT(span_index_read(x, d, w.length[d], ids, DOCUMENT_TOKENS) == 0);
    }
    span_index_close(x);
    w.documents.n++; /* one empty document more */
    w.length[w.documents.n - 1] = 0;
    span_index_close(build(&w.documents, w.vocab, other));
    ck_assert_str_ne(hash, other);
    ck_assert_int_eq(span_index_open(path, hash, &x, &e), OL_EFORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, hash));
    free_world(&w);
}
END_TEST

static void put_bytes(const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
}

static int open_bytes(const void *bytes, size_t n)
{
    struct span_index *x;
    put_bytes(bytes, n);
    int rc = span_index_open(path, NULL, &x, NULL);
    if (!rc)
        span_index_close(x);
    return rc;
}

/* Any one byte changed, any length: refused, or answered without reading out of bounds (the sanitizers watch). */
START_TEST(damaged_files)
{
    static const int32_t a[] = {3, 1, 4, 1, 5, 9, 2, 6}, b[] = {5, 3, 5, 8, 9, 7, 9}, c[] = {3, 1, 4, 1, 5};
    const int32_t *ids[] = {a, b, c};
    uint32_t length[] = {8, 7, 5}, refused = 0;
    struct brute_documents d = {ids, length, 3};
    struct span_scratch scratch = {0};
    struct surprisal s = flat_surprisal(10, 1000);
    span_index_close(build(&d, 10, NULL));
    struct file_map file;
    EXPECT(file_map_init(&file, path, NULL) == 0);
    size_t n = file.len;
    unsigned char *bytes = calloc(1, n + 1);
    memcpy(bytes, file.data, n);
    file_map_deinit(&file);
    for (size_t i = 0; i < 2 * n; i++) {
        unsigned char kept = bytes[i % n];
        bytes[i % n] ^= (unsigned char)(i < n ? 1 + draw(255) : 0x80);
        put_bytes(bytes, n);
        bytes[i % n] = kept;
        struct span_index *x;
        struct err e = {0};
        if (span_index_open(path, NULL, &x, &e)) {
            EXPECT(e.code == OL_EFORMAT);
            refused++;
            continue;
        }
        int32_t answer[] = {5, 3, 5, 9, 3, 1, 4, 1, 5, 9};
        struct span_query q = {.answer = answer, .answer_tokens = 10};
        struct span spans[10];
        size_t n_spans;
        uint32_t open;
        int rc = span_index_vocab(x) == 10 ? span_attribute(x, &s, &q, &scratch, spans, 10, &n_spans, &open, &e) : 0;
        EXPECT(rc == 0 || rc == OL_EFORMAT);
        span_index_close(x);
    }
    EXPECT(refused > 64);
    for (size_t shorter = 1; shorter < n; shorter++)
        EXPECT(open_bytes(bytes, shorter) == OL_EFORMAT);
    EXPECT(open_bytes(bytes, n) == 0 && open_bytes(bytes, n + 1) == OL_EFORMAT);
    uint32_t *starts = (void *)(bytes + sizeof(struct span_header)), second = starts[1];
    starts[1] = starts[2];
    starts[2] = second;
    EXPECT(open_bytes(bytes, n) == OL_EFORMAT);
    free(bytes);
    span_scratch_deinit(&scratch);
    surprisal_deinit(&s);
}
END_TEST

START_TEST(refuses_nonsense)
{
    struct span_builder *b;
    struct err e = {0};
    EXPECT(span_builder_open(0, &b, &e) == OL_EINVAL);
    EXPECT(span_builder_open(10, &b, &e) == 0);
    EXPECT(span_builder_write(b, path, NULL, NULL, NULL, &e) == OL_EINVAL);
    EXPECT(span_builder_add(b, (int32_t[]){1, 10}, 2, &e) == OL_EINVAL);
    EXPECT(span_builder_add(b, (int32_t[]){1, -2}, 2, &e) == OL_EINVAL);
    EXPECT(span_builder_add(b, (int32_t[]){1, 2}, 2, &e) == 0 && span_builder_documents(b) == 1);
    EXPECT(span_builder_write(b, "/nowhere/at/all", NULL, NULL, NULL, &e) == OL_EIO);
    EXPECT(span_builder_write(b, path, NULL, NULL, NULL, &e) == 0);
    span_builder_close(b);
    struct span_index *x;
    EXPECT(span_index_open(path, NULL, &x, &e) == 0);
    struct surprisal s = flat_surprisal(10, 1000), wrong = flat_surprisal(11, 1000);
    struct span_scratch scratch = {0};
    struct span span;
    size_t n;
    uint32_t open, choices[] = {1, 2};
    struct span_query q = {.answer = (int32_t[]){1, 2}, .answer_tokens = 2};
    EXPECT(span_attribute(x, &wrong, &q, &scratch, &span, 1, &n, &open, &e) == OL_EINVAL);
    EXPECT(span_attribute(x, &s, &q, &scratch, &span, 0, &n, &open, &e) == OL_ELIMIT);
    q.choices = choices;
    q.n_choices = 2;
    EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, &e) == OL_EINVAL);
    q = (struct span_query){.answer = (int32_t[]){1, 10, 0x7fffffff}, .answer_tokens = 3};
    EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, &e) == 0);
    EXPECT(n == 1 && span.tokens == 1 && open == 2);
    q = (struct span_query){.answer = (int32_t[]){-1}, .answer_tokens = 1};
    EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, &e) == OL_EINVAL);
    q = (struct span_query){0};
    EXPECT(span_attribute(x, &s, &q, &scratch, &span, 1, &n, &open, &e) == 0 && n == 0 && open == 0);
    span_scratch_deinit(&scratch);
    surprisal_deinit(&s);
    surprisal_deinit(&wrong);
    span_index_close(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spans");
    TCase *t = tcase_create("spans");
    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, suffixes_like_plain_sorting);
    tcase_add_test(t, suffixes_of_words_that_repeat_themselves);
    tcase_add_test(t, spans_like_brute_force);
    tcase_add_test(t, canaries_belong_to_their_owner);
    tcase_add_test(t, matches_contain_no_other);
    tcase_add_test(t, copies_change_nothing);
    tcase_add_test(t, calibration_finds_the_least_tau);
    tcase_add_test(t, index_is_the_documents);
    tcase_add_test(t, damaged_files);
    tcase_add_test(t, refuses_nonsense);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
