/* The adapter store, with a reader of its own (fake_model.h): names, confinement, versions, references, budget. */
#include "fake_model.h"

#include <check.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[] = "/tmp/openlora_test_adapters_XXXXXX";
static char root[64], outside[64];
static struct adapter_store *store;
static atomic_int wakes, reads;

static void on_wake(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&wakes, 1);
}

static int count_reads(void *ctx, const char *path, const struct model_config *model, size_t page_bytes,
                       struct adapter_image *out, struct err *e)
{
    atomic_fetch_add(&reads, 1);
    return fake_read_adapter(ctx, path, model, page_bytes, out, e);
}

static void open_store(size_t host_bytes)
{
    const char *roots[] = {root};
    struct err e;
    struct adapter_reader reader = {.load = count_reads};
    struct adapter_store_config c = {.model = &fake_config, .page_bytes = FAKE_PAGE_BYTES, .host_bytes = host_bytes,
                                     .roots = roots, .n_roots = 1};
    ck_assert_int_eq(adapter_store_open_with(&c, &reader, &store, &e), 0);
    adapter_store_set_wake(store, on_wake, NULL);
}

static void setup(void)
{
    snprintf(root, sizeof root, "%s/root", base);
    snprintf(outside, sizeof outside, "%s/outside", base);
    ck_assert(mkdir(root, 0700) == 0 || errno == EEXIST);
    ck_assert(mkdir(outside, 0700) == 0 || errno == EEXIST);
    atomic_store(&reads, 0);
    open_store(100 * FAKE_PAGE_BYTES);
}

static void teardown(void)
{
    adapter_store_close(store);
    fake_remove_adapters(root);
    fake_remove_adapters(outside);
}

static const char *path_of(const char *name)
{
    static _Thread_local char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void make(const char *name, uint64_t value, int pages)
{
    fake_write_adapter(root, name, value, pages, "");
}

/* Wants the image and waits for the outcome. */
static enum image_state want(struct adapter *a, struct err *why)
{
    const struct adapter_image *image;
    double reload_s;
    enum image_state state;
    adapter_want(a);
    while ((state = adapter_poll(a, &image, &reload_s, why)) == IMAGE_LOADING || state == IMAGE_ABSENT)
        usleep(100);
    return state;
}

START_TEST(names)
{
    struct err e;
    make("x", 1, 1);
    static const char *const bad[] = {"", "a b", "a\nb", "ä", "a\"b", "a*", NULL};
    for (int i = 0; bad[i]; i++)
        ck_assert_int_eq(adapter_register(store, bad[i], path_of("x"), false, &e), OL_EINVAL);
    char name[200];
    memset(name, 'a', sizeof name);
    name[128] = 0;
    ck_assert_int_eq(adapter_register(store, name, path_of("x"), false, &e), OL_EINVAL);
    name[127] = 0;
    ck_assert_int_eq(adapter_register(store, name, path_of("x"), false, &e), 0);
    ck_assert_int_eq(adapter_register(store, "org/a.b_c:v1@2-x", path_of("x"), false, &e), 0);
    ck_assert_int_eq(adapter_register(store, "org/a.b_c:v1@2-x", path_of("x"), false, &e), OL_EEXIST);
    ck_assert_int_eq(adapter_store_count(store), 2);
    ck_assert_int_eq(atomic_load(&reads), 0); /* registering reads nothing */
}
END_TEST

START_TEST(paths_are_confined)
{
    struct err e;
    char path[300], link[300];
    make("x", 1, 1);
    fake_write_adapter(outside, "secret", 1, 1, "");
    snprintf(path, sizeof path, "%s/secret", outside);
    ck_assert_int_eq(adapter_load(store, "a", path, false, false, &e), OL_EINVAL);
    snprintf(path, sizeof path, "%s/../outside/secret", root);
    ck_assert_int_eq(adapter_load(store, "a", path, false, false, &e), OL_EINVAL);
    snprintf(path, sizeof path, "%s/secret", outside); /* a link inside that leads outside */
    ck_assert_int_eq(symlink(path, path_of("link")), 0);
    ck_assert_int_eq(adapter_load(store, "a", path_of("link"), false, false, &e), OL_EINVAL);
    snprintf(path, sizeof path, "%srest", root); /* a sibling whose name begins like the root */
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(adapter_load(store, "a", path, false, false, &e), OL_EINVAL);
    rmdir(path);
    ck_assert_int_eq(adapter_load(store, "a", path_of("absent"), false, false, &e), OL_ENOTFOUND);
    ck_assert_int_eq(adapter_load(store, "a", "", false, false, &e), OL_EINVAL);

    snprintf(path, sizeof path, "%s/dir", root); /* a directory whose weights lead outside */
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(link, sizeof link, "%s/dir/adapter_model.safetensors", root);
    snprintf(path, sizeof path, "%s/secret", outside);
    ck_assert_int_eq(symlink(path, link), 0);
    ck_assert_int_eq(adapter_load(store, "a", path_of("dir"), false, false, &e), OL_EINVAL);
    unlink(link);
    rmdir(path_of("dir"));

    ck_assert_int_eq(symlink("x", path_of("good")), 0); /* a link that stays inside is fine */
    ck_assert_int_eq(adapter_load(store, "a", path_of("good"), false, false, &e), 0);
    struct adapter *a; /* and is resolved again at each read */
    ck_assert_int_eq(adapter_register(store, "later", path_of("good"), false, &e), 0);
    unlink(path_of("good"));
    ck_assert_int_eq(symlink(path, path_of("good")), 0);
    ck_assert_int_eq(adapter_acquire(store, "later", &a, &e), 0);
    ck_assert_int_eq(want(a, &e), IMAGE_FAILED);
    ck_assert_int_eq(e.code, OL_EINVAL);
    adapter_unwant(a);
    adapter_release(a);
}
END_TEST

START_TEST(failed_load_keeps_the_old_version)
{
    struct err e;
    struct adapter *before, *after;
    struct adapter_info info;
    make("v1", 10, 1);
    fake_write_adapter(root, "v2", 20, 1, "bad");
    ck_assert_int_eq(adapter_load(store, "a", path_of("v1"), false, false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &before, &e), 0);
    ck_assert_int_eq(adapter_load(store, "a", path_of("v2"), true, false, &e), OL_EFORMAT);
    ck_assert(adapter_store_info(store, "a", &info));
    ck_assert_str_ne(info.error, "");
    ck_assert_int_eq(adapter_acquire(store, "a", &after, &e), 0);
    ck_assert_ptr_eq(before, after);
    ck_assert_int_eq(adapter_load(store, "new", path_of("v2"), false, false, &e), OL_EFORMAT);
    ck_assert(!adapter_store_info(store, "new", &info));
    adapter_release(before);
    adapter_release(after);
}
END_TEST

START_TEST(replace_under_references)
{
    struct err e;
    struct adapter *old, *new;
    make("v1", 10, 1);
    make("v2", 20, 1);
    ck_assert_int_eq(adapter_load(store, "a", path_of("v1"), false, false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &old, &e), 0);
    ck_assert_int_eq(adapter_load(store, "a", path_of("v2"), false, false, &e), OL_EEXIST);
    ck_assert_int_eq(adapter_load(store, "a", path_of("v2"), true, false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &new, &e), 0);
    ck_assert_ptr_ne(old, new);
    ck_assert_int_eq(want(old, &e), IMAGE_READY); /* still whole */
    uint64_t value;
    memcpy(&value, old->image.pages, sizeof value);
    ck_assert_uint_eq(value, 10);
    adapter_unwant(old);
    adapter_release(old);
    struct adapter_info info;
    ck_assert(adapter_store_info(store, "a", &info));
    ck_assert_int_eq(info.references, 1);
    ck_assert_uint_eq(info.requests, 2);
    adapter_release(new);
}
END_TEST

START_TEST(unload)
{
    struct err e;
    struct adapter *a, *b;
    make("x", 1, 1);
    ck_assert_int_eq(adapter_load(store, "a", path_of("x"), false, false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &a, &e), 0);
    ck_assert_int_eq(adapter_unload(store, "a", false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &b, &e), OL_ENOTFOUND);
    ck_assert_ptr_null(b);
    ck_assert_int_eq(adapter_unload(store, "a", false, &e), OL_ENOTFOUND);
    ck_assert_int_eq(adapter_pin(store, "a", true, &e), OL_ENOTFOUND);
    ck_assert(!adapter_is_revoked(a));
    ck_assert_uint_gt(store->host_bytes, 0);
    adapter_release(a); /* memory goes with the last reference */
    ck_assert_uint_eq(store->host_bytes, 0);

    ck_assert_int_eq(adapter_load(store, "a", path_of("x"), false, false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &a, &e), 0);
    int before = atomic_load(&wakes);
    ck_assert_int_eq(adapter_unload(store, "a", true, &e), 0);
    ck_assert(adapter_is_revoked(a));
    ck_assert_int_gt(atomic_load(&wakes), before);
    adapter_set_in_pages(a, true); /* the engine gives its pages back before the version goes */
    adapter_release(a);
    ck_assert_ptr_eq(adapter_store_take_retired(store), a);
    ck_assert_ptr_null(adapter_store_take_retired(store));
    adapter_retire(a);
}
END_TEST

START_TEST(host_budget)
{
    enum { N = 30 };
    struct err e;
    char name[16];
    for (int i = 0; i < N; i++) { /* 10 pages each, room for 10 */
        snprintf(name, sizeof name, "a%d", i);
        make(name, (uint64_t)i * 1000 + 1, 10);
        ck_assert_int_eq(adapter_load(store, name, path_of(name), false, i < 3, &e), 0);
        ck_assert_uint_le(store->host_bytes, store->host_budget_bytes);
    }
    struct adapter_info info;
    int in_host = 0;
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "a%d", i);
        ck_assert(adapter_store_info(store, name, &info));
        in_host += info.in_host;
        ck_assert(i >= 3 || info.in_host); /* pinned ones stay */
    }
    ck_assert_int_eq(in_host, 10);
    /* Everything dropped comes back on demand, and what is wanted is not dropped for others. */
    struct adapter *a[N];
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "a%d", i + 3);
        ck_assert_int_eq(adapter_acquire(store, name, &a[i], &e), 0);
        ck_assert_int_eq(want(a[i], &e), IMAGE_READY);
    }
    for (int i = 0; i < 7; i++)
        ck_assert_ptr_nonnull(a[i]->image.pages);
    ck_assert_uint_le(store->host_bytes, store->host_budget_bytes);
    for (int i = 0; i < 7; i++) {
        adapter_unwant(a[i]);
        adapter_release(a[i]);
    }
}
END_TEST

/* More is wanted at once than the budget holds: the loader waits for room, then goes on. */
START_TEST(loader_waits_for_room)
{
    enum { N = 20 };
    struct err e;
    struct adapter *a[N];
    char name[16];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "a%d", i);
        make(name, (uint64_t)i * 1000 + 1, 30);
        ck_assert_int_eq(adapter_register(store, name, path_of(name), false, &e), 0);
        ck_assert_int_eq(adapter_acquire(store, name, &a[i], &e), 0);
        adapter_want(a[i]);
    }
    while (atomic_load(&reads) < 4)
        usleep(100);
    usleep(20000);
    ck_assert_int_eq(atomic_load(&reads), 4); /* 3 fit; one may pass the budget */
    for (int i = 0; i < N; i++) {
        const struct adapter_image *image;
        double reload_s;
        while (adapter_poll(a[i], &image, &reload_s, &e) != IMAGE_READY)
            usleep(100);
        adapter_unwant(a[i]);
        adapter_release(a[i]);
    }
    ck_assert_int_eq(atomic_load(&reads), N);
}
END_TEST

START_TEST(changed_files_are_not_served_as_the_old_version)
{
    struct err e;
    struct adapter *a;
    make("x", 1, 1);
    ck_assert_int_eq(adapter_register(store, "a", path_of("x"), false, &e), 0);
    ck_assert_int_eq(adapter_acquire(store, "a", &a, &e), 0);
    ck_assert_int_eq(want(a, &e), IMAGE_READY);
    adapter_unwant(a);
    store->host_budget_bytes = 0; /* drop it */
    adapter_want(a);
    adapter_unwant(a);
    ck_assert_int_eq(a->state, IMAGE_ABSENT);
    make("x", 2, 1);
    ck_assert_int_eq(want(a, &e), IMAGE_FAILED);
    adapter_unwant(a);
    make("x", 1, 1); /* put back: served again */
    ck_assert_int_eq(want(a, &e), IMAGE_READY);
    adapter_unwant(a);
    adapter_release(a);
}
END_TEST

START_TEST(thousands_of_names)
{
    enum { N = 20000 };
    struct err e;
    char name[32];
    make("x", 1, 1);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "tenant-%d/adapter", i);
        ck_assert_int_eq(adapter_register(store, name, path_of("x"), false, &e), 0);
    }
    struct adapter *a;
    uint32_t longest = 0;
    for (uint32_t b = 0; b < store->n_buckets; b++) {
        uint32_t n = 0;
        for (struct adapter_entry *entry = store->buckets[b]; entry; entry = entry->next)
            n++;
        longest = n > longest ? n : longest;
    }
    ck_assert_uint_lt(longest, 12);
    ck_assert_int_eq(adapter_acquire(store, "tenant-12345/adapter", &a, &e), 0);
    adapter_release(a);
    struct adapter_info page[50];
    ck_assert_int_eq(adapter_store_list(store, 0, page, 50), 50);
    for (int i = 1; i < 50; i++)
        ck_assert_int_lt(strcmp(page[i - 1].name, page[i].name), 0);
    ck_assert_int_eq(adapter_store_list(store, N - 10, page, 50), 10);
    ck_assert_int_eq(adapter_store_list(store, N + 10, page, 50), 0);
}
END_TEST

/* ---- Many threads (for the thread sanitizer) ---- */

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 300; i++) {
        struct err e;
        struct adapter *a;
        struct adapter_info info[4];
        char name[16];
        snprintf(name, sizeof name, "a%d", rand_r(&seed) % 5);
        switch (rand_r(&seed) % 6) {
        case 0: (void)adapter_load(store, name, path_of("x"), true, false, &e); break;
        case 1: (void)adapter_unload(store, name, rand_r(&seed) % 2, &e); break;
        case 2: (void)adapter_pin(store, name, rand_r(&seed) % 2, &e); break;
        case 3: (void)adapter_store_list(store, 0, info, 4); break;
        default:
            if (adapter_acquire(store, name, &a, &e) == 0) {
                if (rand_r(&seed) % 2)
                    CHECK(want(a, &e) == IMAGE_READY), adapter_unwant(a);
                adapter_release(a);
            }
        }
    }
    return NULL;
}

START_TEST(many_threads)
{
    pthread_t t[6];
    make("x", 1, 40);
    for (uintptr_t i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
}
END_TEST

int main(void)
{
    CHECK(mkdtemp(base));
    Suite *suite = suite_create("adapter_store");
    TCase *t = tcase_create("adapter_store");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, names);
    tcase_add_test(t, paths_are_confined);
    tcase_add_test(t, failed_load_keeps_the_old_version);
    tcase_add_test(t, replace_under_references);
    tcase_add_test(t, unload);
    tcase_add_test(t, host_budget);
    tcase_add_test(t, loader_waits_for_room);
    tcase_add_test(t, changed_files_are_not_served_as_the_old_version);
    tcase_add_test(t, thousands_of_names);
    tcase_add_test(t, many_threads);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(root);
    rmdir(outside);
    rmdir(base);
    return failed ? 1 : 0;
}
