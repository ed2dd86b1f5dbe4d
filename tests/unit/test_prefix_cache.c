#include "engine/prefix_cache.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = STEP_PAGE_TOKENS, N_PAGES = 64, MAX_TOKENS = 160 };

/* ck_assert reports every success to the test's parent: too slow for checks made millions of times. */
#define EXPECT(condition) ((condition) ? (void)0 : ck_abort_msg("%s, line %d", #condition, __LINE__))

static struct page_pool pool;
static struct prefix_cache cache;
static struct cache_space space_a, space_b;
static const struct cache_origin origin = {"version", "numerics"};

static void setup(void)
{
    ck_assert_int_eq(page_pool_init(&pool, N_PAGES, NULL), 0);
    ck_assert_int_eq(prefix_cache_init(&cache, &pool, NULL), 0);
    cache_space_init(&space_a, &origin, "tenant", "");
    cache_space_init(&space_b, &origin, "tenant", "adapter");
}

static void teardown(void)
{
    prefix_cache_deinit(&cache);
    page_pool_deinit(&pool);
}

static void fill(int32_t *tokens, int32_t n, int32_t first)
{
    for (int32_t i = 0; i < n; i++)
        tokens[i] = first + i;
}

/* Publishes n tokens as a sequence would: pages taken, published in order, then given back last first. */
static void put(const struct cache_space *space, const int32_t *tokens, int32_t n)
{
    int32_t pages[MAX_TOKENS / PAGE], n_pages = 0;
    for (int32_t at = 0; at < n; at += PAGE, n_pages++) {
        pages[n_pages] = page_pool_take(&pool, PAGE_KV);
        ck_assert_int_ge(pages[n_pages], 0);
        pages[n_pages] = prefix_cache_publish(&cache, space, n_pages ? pages[n_pages - 1] : -1, tokens + at,
                                              n - at < PAGE ? n - at : PAGE, pages[n_pages]);
    }
    while (n_pages)
        prefix_cache_release(&cache, pages[--n_pages]);
}

/* Length of the match, whose references are given back. */
static int32_t matched(const struct cache_space *space, const int32_t *tokens, int32_t n)
{
    int32_t pages[MAX_TOKENS / PAGE];
    struct cache_match m = prefix_cache_match(&cache, space, tokens, n, pages);
    int32_t length = m.n_pages * PAGE + m.n_partial;
    ck_assert_int_eq(m.partial_page >= 0, m.n_partial > 0);
    if (m.partial_page >= 0)
        prefix_cache_release(&cache, m.partial_page);
    ck_assert_int_eq(prefix_cache_peek(&cache, space, tokens, n), m.n_pages * PAGE);
    while (m.n_pages)
        prefix_cache_release(&cache, pages[--m.n_pages]);
    return length;
}

START_TEST(whole_pages_and_tails)
{
    int32_t t[MAX_TOKENS];
    fill(t, MAX_TOKENS, 100);
    ck_assert_int_eq(matched(&space_a, t, 40), 0);
    put(&space_a, t, 40);
    ck_assert_int_eq(matched(&space_a, t, 32), 32);
    ck_assert_int_eq(matched(&space_a, t, 31), 31); /* a full page serves as the source of a partial copy */
    ck_assert_int_eq(matched(&space_a, t, 39), 39);
    ck_assert_int_eq(matched(&space_a, t, 160), 40);
    t[37] = 1;
    ck_assert_int_eq(matched(&space_a, t, 160), 37);
    t[3] = 1;
    ck_assert_int_eq(matched(&space_a, t, 160), 3);
    t[0] = 1;
    ck_assert_int_eq(matched(&space_a, t, 160), 0);
}
END_TEST

START_TEST(spaces_do_not_mix)
{
    int32_t t[MAX_TOKENS];
    struct cache_space other;
    fill(t, MAX_TOKENS, 100);
    put(&space_a, t, 64);
    ck_assert_int_eq(matched(&space_b, t, 64), 0);
    cache_space_init(&other, &(struct cache_origin){"ersion", "numericsv"}, "tenant", ""); /* fields are delimited */
    ck_assert_int_eq(matched(&other, t, 64), 0);
    cache_space_init(&other, &(struct cache_origin){"version", "other"}, "tenant", "");
    ck_assert_int_eq(matched(&other, t, 64), 0);
    cache_space_init(&other, &origin, "tenant", "");
    ck_assert_int_eq(matched(&other, t, 64), 64);
}
END_TEST

START_TEST(same_content_moves_to_one_page)
{
    int32_t t[MAX_TOKENS];
    fill(t, MAX_TOKENS, 5);
    put(&space_a, t, 32);
    int32_t used = N_PAGES - page_pool_free_count(&pool);
    put(&space_a, t, 48);
    ck_assert_int_eq(N_PAGES - page_pool_free_count(&pool), used + 1);
    ck_assert_int_eq(cache.n_nodes, 3);
}
END_TEST

START_TEST(held_pages_stay)
{
    int32_t t[MAX_TOKENS], pages[MAX_TOKENS / PAGE];
    fill(t, MAX_TOKENS, 5);
    put(&space_a, t, 64);
    struct cache_match m = prefix_cache_match(&cache, &space_a, t, 32, pages);
    ck_assert_int_eq(m.n_pages, 2);
    ck_assert_int_eq(cache.n_idle, 2);
    while (cache.n_idle)
        prefix_cache_evict(&cache);
    ck_assert_int_eq(matched(&space_a, t, 64), 32);
    prefix_cache_release(&cache, pages[1]);
    prefix_cache_release(&cache, pages[0]);
    ck_assert_int_eq(cache.n_idle, 2);
}
END_TEST

START_TEST(least_recently_used_goes_first)
{
    int32_t t[3][32];
    for (int i = 0; i < 3; i++) {
        fill(t[i], 32, 100 * i);
        cache.now_s = i;
        put(&space_a, t[i], 32);
    }
    cache.now_s = 3;
    ck_assert_int_eq(matched(&space_a, t[0], 32), 32); /* now the youngest */
    ck_assert(prefix_cache_oldest_s(&cache) == 1);
    prefix_cache_evict(&cache);
    ck_assert_int_eq(prefix_cache_peek(&cache, &space_a, t[1], 32), 16); /* leaf first */
    prefix_cache_evict(&cache);                                           /* then its parent, before younger leaves */
    ck_assert_int_eq(prefix_cache_peek(&cache, &space_a, t[1], 32), 0);
    ck_assert_int_eq(prefix_cache_peek(&cache, &space_a, t[2], 32), 32);
    ck_assert_int_eq(prefix_cache_peek(&cache, &space_a, t[0], 32), 32);
}
END_TEST

/* ---- Against a naive model ---- */

struct shadow { /* what the content of each page is the KV of */
    int32_t tokens[MAX_TOKENS], n;
    const struct cache_space *space;
};
static struct shadow shadow[N_PAGES];

struct holder {
    int32_t tokens[MAX_TOKENS], n, pages[MAX_TOKENS / PAGE], n_pages;
    const struct cache_space *space;
    bool used;
};

static void shadow_set(int32_t page, const struct cache_space *space, const int32_t *tokens, int32_t n)
{
    memcpy(shadow[page].tokens, tokens, (size_t)n * sizeof *tokens);
    shadow[page].n = n;
    shadow[page].space = space;
}

/* A page list is right if every page holds the KV of exactly these tokens. */
static void check_pages(const struct holder *h)
{
    for (int32_t i = 0; i < h->n_pages; i++) {
        const struct shadow *s = &shadow[h->pages[i]];
        int32_t end = (i + 1) * PAGE < h->n ? (i + 1) * PAGE : h->n;
        EXPECT(s->space == h->space && s->n >= end);
        EXPECT(memcmp(s->tokens, h->tokens, (size_t)end * sizeof *h->tokens) == 0);
    }
}

static void start(struct holder *h, unsigned *seed)
{
    *h = (struct holder){
        .used = true, .space = rand_r(seed) % 2 ? &space_a : &space_b, .n = 1 + rand_r(seed) % MAX_TOKENS};
    for (int32_t i = 0; i < h->n; i++) /* two choices per token, rarely: many shared beginnings of every length */
        h->tokens[i] = rand_r(seed) % 12 == 0;
    struct cache_match m = prefix_cache_match(&cache, h->space, h->tokens, h->n, h->pages);
    h->n_pages = m.n_pages;
    int32_t need = (h->n + PAGE - 1) / PAGE;
    if (m.partial_page >= 0) {
        const struct shadow *s = &shadow[m.partial_page];
        int32_t n = m.n_pages * PAGE + m.n_partial;
        EXPECT(s->space == h->space && s->n >= n && !memcmp(s->tokens, h->tokens, (size_t)n * sizeof *h->tokens));
        prefix_cache_release(&cache, m.partial_page);
    }
    int32_t matched_pages = h->n_pages;
    while (h->n_pages < need) {
        while (!page_pool_free_count(&pool) && cache.n_idle)
            prefix_cache_evict(&cache);
        int32_t page = page_pool_take(&pool, PAGE_KV);
        if (page < 0)
            break; /* everything is held: run with what there is */
        h->pages[h->n_pages++] = page;
    }
    if (h->n > h->n_pages * PAGE)
        h->n = h->n_pages * PAGE;
    for (int32_t i = matched_pages; i < h->n_pages; i++) {
        int32_t end = (i + 1) * PAGE < h->n ? (i + 1) * PAGE : h->n;
        shadow_set(h->pages[i], h->space, h->tokens, end);
        if (end == (i + 1) * PAGE)
            h->pages[i] = prefix_cache_publish(&cache, h->space, i ? h->pages[i - 1] : -1, h->tokens + i * PAGE, PAGE,
                                               h->pages[i]);
    }
}

static void finish(struct holder *h)
{
    check_pages(h);
    int32_t i = h->n / PAGE;
    if (i < h->n_pages)
        prefix_cache_publish(&cache, h->space, i ? h->pages[i - 1] : -1, h->tokens + i * PAGE, h->n % PAGE,
                             h->pages[i]);
    while (h->n_pages)
        prefix_cache_release(&cache, h->pages[--h->n_pages]);
    h->used = false;
}

START_TEST(random_use)
{
    enum { HOLDERS = 8, ROUNDS = 6000 };
    struct holder h[HOLDERS] = {0};
    unsigned seed = 42;
    for (int round = 0; round < ROUNDS; round++) {
        struct holder *one = &h[rand_r(&seed) % HOLDERS];
        cache.now_s = round;
        if (one->used)
            finish(one);
        else
            start(one, &seed);
        int32_t held[N_PAGES] = {0}, idle = 0;
        for (int i = 0; i < HOLDERS; i++)
            for (int32_t k = 0; h[i].used && k < h[i].n_pages; k++)
                held[h[i].pages[k]]++;
        for (int p = 0; p < N_PAGES; p++) {
            EXPECT(pool.refs[p] == held[p] || pool.refs[p] == held[p] + 1); /* the cache's own */
            idle += pool.refs[p] == 1 && !held[p];
        }
        EXPECT(cache.n_idle == idle);
    }
    for (int i = 0; i < HOLDERS; i++)
        if (h[i].used)
            finish(&h[i]);
    while (cache.n_idle) /* invariant 2: everything idle can be had */
        prefix_cache_evict(&cache);
    ck_assert_int_eq(page_pool_free_count(&pool), N_PAGES);
    ck_assert_int_eq(cache.n_nodes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prefix_cache");
    TCase *t = tcase_create("prefix_cache");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, whole_pages_and_tails);
    tcase_add_test(t, spaces_do_not_mix);
    tcase_add_test(t, same_content_moves_to_one_page);
    tcase_add_test(t, held_pages_stay);
    tcase_add_test(t, least_recently_used_goes_first);
    tcase_add_test(t, random_use);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
