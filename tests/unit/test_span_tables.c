/* The two tables beside the index: surprisal of tokens, sources of documents. */
#include "attribution/span_sources.h"
#include "attribution/surprisal.h"
#include "model/tokenizer_private.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(condition) ((condition) ? (void)0 : ck_abort_msg("%s, line %d", #condition, __LINE__))

static char folder[] = "/tmp/openlora-span-tables-XXXXXX";
static char path[sizeof folder + 16];

static void make_folder(void)
{
    EXPECT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/table", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

/* --- surprisal --- */

START_TEST(logarithms)
{
    uint64_t x = 1;
    for (int i = 0; i < 64; i++)
        EXPECT(surprisal_log2_q16((uint64_t)1 << i) == (uint32_t)i << 16);
    for (int i = 0; i < 200000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t y = x >> (x & 63);
        if (y)
            EXPECT(surprisal_log2_q16(y) == (uint32_t)floorl(log2l((long double)y) * 65536));
    }
}
END_TEST

/* Of n tokens the first `special` are control tokens, and the last id stands for nothing. */
static struct tokenizer *make_tokenizer(int32_t n, int32_t special)
{
    struct tokenizer *t;
    EXPECT(tokenizer_alloc(&t, NULL) == 0 && vocab_init(&t->vocab, (size_t)n, NULL) == 0);
    for (int32_t id = 0; id < n - 1; id++) {
        char text[16];
        int length = snprintf(text, sizeof text, "t%d", id);
        EXPECT(vocab_set_literal(&t->vocab, id, (struct text){text, (size_t)length}, NULL) == 0);
        t->vocab.tokens[id].special = id < special;
    }
    return t;
}

START_TEST(a_table_from_a_tokenizer)
{
    enum { N = 49153, SPECIAL = 3 };
    struct tokenizer *t = make_tokenizer(N, SPECIAL);
    struct surprisal s, again;
    EXPECT(surprisal_make(t, &s, NULL) == 0 && s.vocab == N);
    tokenizer_close(t);
    double sum = 0;
    for (int r = 0; r < N - 1 - SPECIAL; r++)
        sum += 1.0 / (10 + r);
    for (int id = 0; id < N; id++) {
        double exact = id < SPECIAL || id == N - 1 ? 0 : 1000 * log2((10 + id - SPECIAL) * sum);
        /* Rounded down, from two logarithms rounded down to 1/65.536 millibits. */
        double short_by = exact - s.millibits[id];
        ck_assert_msg(short_by >= -0.001 && short_by < 1.04, "token %d: %d, %f", id, s.millibits[id], exact);
    }
    EXPECT(surprisal_of(&s, -1) == 0 && surprisal_of(&s, N) == 0 && surprisal_of(&s, N - 2) > 18000);
    char hash[SHA256_HEX_BYTES], zeros[SHA256_HEX_BYTES];
    struct err e = {0};
    EXPECT(surprisal_save(&s, path, hash, NULL) == 0);
    EXPECT(surprisal_load(path, hash, &again, NULL) == 0);
    EXPECT(again.vocab == N && memcmp(s.millibits, again.millibits, N * sizeof *s.millibits) == 0);
    surprisal_deinit(&again);
    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = 0;
    EXPECT(surprisal_load(path, zeros, &again, &e) == OL_EFORMAT && strstr(e.message, hash));
    EXPECT(truncate(path, 2 * N) == 0);
    EXPECT(surprisal_load(path, NULL, &again, &e) == OL_EFORMAT);
    surprisal_deinit(&s);
}
END_TEST

START_TEST(hardly_any_tokens)
{
    for (int32_t n = 2; n < 6; n++) {
        struct tokenizer *t = make_tokenizer(n, 1);
        struct surprisal s;
        EXPECT(surprisal_make(t, &s, NULL) == 0);
        for (int32_t id = 0; id < n; id++)
            EXPECT(s.millibits[id] < 3000);
        surprisal_deinit(&s);
        tokenizer_close(t);
    }
}
END_TEST

/* --- sources --- */

static const struct span_contribution contributions[] = {
    {{1}, {11}, 0, 3}, {{2}, {12}, 1, 1}, {{3}, {11}, 1, 200},
};
static const struct span_datanet datanets[] = {{{21}, {31}, {41}}, {{22}, {32}, {42}}};

static void set_list(struct list *l, const void *from, size_t n, size_t bytes)
{
    *l = (struct list){malloc(n * bytes), n};
    memcpy(l->at, from, n * bytes);
}

static struct span_sources make_sources(void)
{
    struct span_sources s = {0};
    set_list(&s.datanets, datanets, 2, sizeof *datanets);
    set_list(&s.contributions, contributions, 3, sizeof *contributions);
    return s;
}

START_TEST(sources_in_a_file)
{
    struct span_sources s = make_sources(), t;
    struct err e = {0};
    EXPECT(span_sources_finish(&s, 204, &e) == 0);
    EXPECT(span_sources_save(&s, path, &e) == 0);
    ck_assert_msg(span_sources_load(path, 204, &t, &e) == 0, "%s", e.message);
    const uint32_t documents[] = {0, 2, 3, 4, 203}, contribution[] = {0, 0, 1, 2, 2}, row[] = {0, 2, 0, 0, 199};
    for (int i = 0; i < 5; i++) {
        struct span_source source = span_sources_at(&t, documents[i]);
        EXPECT(source.contribution_index == contribution[i] && source.row == row[i]);
        EXPECT(memcmp(source.contribution, &contributions[contribution[i]], sizeof *contributions) == 0);
        EXPECT(memcmp(source.datanet, &datanets[source.contribution->datanet], sizeof *datanets) == 0);
    }
    /* Who pays does not pay himself. */
    uint8_t beneficiary[ADDRESS_BYTES];
    struct span_source source = span_sources_at(&t, 0);
    span_source_beneficiary(&source, contributions[1].contributor, beneficiary);
    EXPECT(memcmp(beneficiary, contributions[0].contributor, ADDRESS_BYTES) == 0);
    span_source_beneficiary(&source, contributions[2].contributor, beneficiary);
    EXPECT(memcmp(beneficiary, (uint8_t[ADDRESS_BYTES]){0}, ADDRESS_BYTES) == 0);
    span_sources_deinit(&t);
    EXPECT(span_sources_load(path, 203, &t, &e) == OL_EFORMAT);
    EXPECT(span_sources_load(path, 205, &t, &e) == OL_EFORMAT);
    span_sources_deinit(&s);
}
END_TEST

START_TEST(sources_that_are_none)
{
    struct span_sources s = make_sources();
    struct span_contribution *c = s.contributions.at;
    struct err e = {0};
    c[1].datanet = 2;
    EXPECT(span_sources_finish(&s, 204, &e) == OL_EFORMAT);
    c[1].datanet = 1;
    c[1].rows = 0;
    EXPECT(span_sources_finish(&s, 203, &e) == OL_EFORMAT);
    c[1].rows = UINT32_MAX;
    EXPECT(span_sources_finish(&s, 202, &e) == OL_EFORMAT);
    c[1].rows = 1;
    memcpy(c[2].id, c[0].id, sizeof c[0].id);
    EXPECT(span_sources_finish(&s, 204, &e) == OL_EFORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, "the same"));
    span_sources_deinit(&s);
    const char *empty = "{\"version\":1,\"datanets\":[],\"contributions\":[]}";
    EXPECT(span_sources_parse(empty, strlen(empty), 0, &s, &e) == OL_EFORMAT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("span_tables");
    TCase *t = tcase_create("span_tables");
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, logarithms);
    tcase_add_test(t, a_table_from_a_tokenizer);
    tcase_add_test(t, hardly_any_tokens);
    tcase_add_test(t, sources_in_a_file);
    tcase_add_test(t, sources_that_are_none);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
