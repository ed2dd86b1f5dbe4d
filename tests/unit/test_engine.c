/* The engine end to end on the fake model: limits, cache, cancellation, failure, adapters. */
#include "engine_client.h"

START_TEST(one_request)
{
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *c = client_new(40, 30);
    run_one(c, e);
    ck_assert_int_eq(c->n, 30);
    ck_assert_int_eq(c->end, END_LENGTH);
    struct client *stop = client_new(40, 30);
    stop->stop_after = 3;
    run_one(stop, e);
    ck_assert_int_eq(stop->n, 3);
    ck_assert_int_eq(stop->end, END_STOP);
    ck_assert_int_eq(stop->usage.cached_tokens, 39); /* all but the last token, by copying the third page */
    client_free(stop);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(limits)
{
    struct fake_model m = {0};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_context = 128}, 64);
    struct client *c = client_new(128, 10); /* no room for one token */
    ck_assert_int_eq(client_submit(c, e, &err), OL_ELIMIT);
    client_free(c);
    c = client_new(120, 100); /* cut to the context */
    run_one(c, e);
    ck_assert_int_eq(c->n, 8);
    ck_assert_int_eq(c->end, END_LENGTH);
    client_free(c);
    c = client_new(5, 5);
    c->prompt[2] = FAKE_VOCAB;
    ck_assert_int_eq(client_submit(c, e, &err), OL_EINVAL);
    c->prompt[2] = 3;
    c->request.sampling.top_p = 0;
    ck_assert_int_eq(client_submit(c, e, &err), OL_EINVAL);
    client_free(c);
    close_all(e, &m);

    m = (struct fake_model){0};
    e = fake_open(&m, (struct engine_config){.max_context = 128}, 4); /* the pool is smaller than the context */
    c = client_new(64, 100);
    run_one(c, e);
    ck_assert_int_eq(c->n, 1); /* the last token needs no page */
    c->request.n_prompt = 65;
    ck_assert_int_eq(client_submit(c, e, &err), OL_ELIMIT);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(multi_turn_uses_the_cache)
{
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *first = client_new(20, 50), *second = client_new(80, 10);
    run_one(first, e);
    memcpy(second->prompt + 20, first->tokens, 50 * sizeof *first->tokens);
    run_one(second, e);
    ck_assert_int_eq(second->usage.cached_tokens, 69); /* the 70th was never computed */
    struct client *other = client_new(80, 10); /* another tenant's cache is not shared */
    memcpy(other->prompt, second->prompt, sizeof other->prompt);
    snprintf(other->tenant, sizeof other->tenant, "other");
    run_one(other, e);
    ck_assert_int_eq(other->usage.cached_tokens, 0);
    client_free(first);
    client_free(second);
    client_free(other);
    close_all(e, &m);
}
END_TEST

START_TEST(choices_prefill_once)
{
    enum { N = 8, PROMPT = 512 };
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){.max_rows = 100}, 600); /* steps with room for others */
    struct client *c[N];
    struct err err;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(PROMPT, 5);
        c[i]->request.choice = i;
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    for (int i = 0; i < N; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        client_free(c[i]);
    }
    /* One whole prompt, then at most its last page and the outputs of each. */
    ck_assert_uint_le(m.rows, PROMPT + N * (STEP_PAGE_TOKENS + 5));
    close_all(e, &m);
}
END_TEST

START_TEST(cancelling)
{
    struct fake_model m = {.step_ns = 200000};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *c = client_new(40, 200);
    c->cancel_after = 5;
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    client_wait(c);
    client_check(c);
    ck_assert_int_eq(c->end, END_CANCELLED);
    ck_assert_int_le(c->n, 6);
    engine_cancel(e, c->id); /* finished: ignored */
    engine_cancel(e, 12345);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(queue_is_bounded_and_drains)
{
    enum { N = 12 };
    struct fake_model m = {.step_ns = 500000};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 4, .max_queue = 6}, 64);
    struct client *c[N];
    int accepted = 0;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(20, 40);
        int rc = client_submit(c[i], e, &err);
        ck_assert_int_eq(rc, i < 10 ? 0 : OL_EBUSY);
        accepted += rc == 0;
    }
    engine_stop_admission(e);
    ck_assert_int_eq(client_submit(c[N - 1], e, &err), OL_EBUSY);
    for (int i = 0; i < N; i++) {
        if (i < accepted) {
            client_wait(c[i]);
            client_check(c[i]);
            ck_assert_int_eq(c[i]->end, END_LENGTH);
        }
        client_free(c[i]);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_uint_eq(s.rejected, 2);
    ck_assert_uint_eq(s.ended[END_LENGTH], 10);
    close_all(e, &m);
}
END_TEST

/* Flex leaves half of the queue to the others. */
START_TEST(flex_fills_half_of_the_queue)
{
    enum { N = 12 };
    struct fake_model m = {.step_ns = 500000};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 4, .max_queue = 6}, 64);
    struct client *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = client_new(20, 40);
        c[i]->request.tier = i < 9 ? SERVICE_FLEX : SERVICE_DEFAULT;
        ck_assert_int_eq(client_submit(c[i], e, &err), i < 7 || i >= 9 ? 0 : OL_EBUSY);
    }
    for (int i = 0; i < N; i++) {
        if (i < 7 || i >= 9)
            client_wait(c[i]);
        client_free(c[i]);
    }
    close_all(e, &m);
}
END_TEST

START_TEST(device_loss_ends_everything)
{
    enum { N = 6 };
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 2}, 64, 0, 0);
    struct client *c[N];
    struct client *before = client_new(20, 2);
    run_one(before, e);
    client_free(before);
    atomic_store(&m.fail_after, 1); /* in the very step that copies a cached page */
    int accepted = 0;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(20, 200);
        accepted += client_submit(c[i], e, &err) == 0;
    }
    ck_assert_int_ge(accepted, 1);
    for (int i = 0; i < accepted; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        ck_assert_int_eq(c[i]->end, END_ERROR);
        ck_assert_int_eq(c[i]->why.code, OL_EDEVICE);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert(s.failed);
    ck_assert_int_eq(client_submit(c[0], e, &err), OL_EDEVICE);
    ck_assert_int_eq(adapter_unload(engine_adapters(e), "none", true, &err), OL_ENOTFOUND); /* the store lives on */
    fake_write_adapter(folder, "x", 1, 1, "");
    char path[600];
    snprintf(path, sizeof path, "%s/x", folder);
    ck_assert_int_eq(adapter_load(engine_adapters(e), "x", path, false, false, &err), 0); /* wakes the thread */
    usleep(2000);
    for (int i = 0; i < N; i++)
        client_free(c[i]);
    engine_close(e);
    fake_model_free(&m);
}
END_TEST

/* One that can be started again: a request that meets three losses ends, others go on as if nothing had been. */
START_TEST(losses_are_survived)
{
    struct fake_model m = {.can_restart = true, .busy = 3, .step_ns = 100000};
    struct engine_stats s;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 2}, 64);
    struct client *c = client_new(20, 100), *waits = client_new(30, 50), *other = client_new(40, 10);
    struct err err;
    atomic_store(&m.fail_after, 5);
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    ck_assert_int_eq(client_submit(waits, e, &err), 0);
    client_wait(c);
    client_wait(waits);
    client_check(c);
    client_check(waits);
    ck_assert_int_eq(c->end, END_LENGTH);
    ck_assert_int_eq(waits->end, END_LENGTH);
    ck_assert_int_eq(c->usage.preemptions, 0);
    run_one(other, e);
    client_free(other);
    client_free(waits);
    engine_stats(e, &s);
    ck_assert_uint_eq(s.restarts, 1);
    ck_assert(!s.restarting && !s.failed);

    client_free(c);
    c = client_new(20, 100);
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    for (int lost = 0; lost < 3; lost++) {
        atomic_store(&m.fail_after, 2);
        while (atomic_load(&m.fail_after))
            usleep(100);
    }
    client_wait(c);
    client_check(c); /* what it got was right, and counted */
    ck_assert_int_eq(c->end, END_ERROR);
    ck_assert_int_eq(c->why.code, OL_EDEVICE);
    ck_assert_ptr_nonnull(strstr(c->why.message, "3 times"));
    client_free(c);
    close_all(e, &m);
}
END_TEST

/* While it cannot be started again nobody is kept waiting, and cancelling works; then it serves as before. */
START_TEST(restarts_that_fail)
{
    struct fake_model m = {.can_restart = true};
    struct engine_stats s;
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 2}, 64);
    struct client *c[3];
    atomic_store(&m.fail_restarts, 4);
    atomic_store(&m.fail_after, 3);
    for (int i = 0; i < 3; i++) {
        c[i] = client_new(20, 100);
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    while (engine_stats(e, &s), !s.restarting)
        usleep(100);
    engine_cancel(e, c[0]->id);
    client_wait(c[0]);
    ck_assert_int_eq(c[0]->end, END_CANCELLED);
    ck_assert_int_gt(atomic_load(&m.fail_restarts), 0); /* at once */
    for (int i = 1; i < 3; i++) {
        client_wait(c[i]);
        ck_assert_int_eq(c[i]->end, END_ERROR);
        ck_assert_int_eq(c[i]->why.code, OL_EDEVICE);
    }
    struct client *refused = client_new(5, 5);
    ck_assert_int_eq(client_submit(refused, e, &err), OL_EDEVICE);
    ck_assert_ptr_nonnull(strstr(err.message, "told not to start"));
    while (engine_stats(e, &s), s.restarting)
        usleep(1000);
    run_one(refused, e);
    ck_assert_int_eq(refused->end, END_LENGTH);
    client_free(refused);
    for (int i = 0; i < 3; i++)
        client_free(c[i]);
    close_all(e, &m);
}
END_TEST

START_TEST(close_while_lost)
{
    struct fake_model m = {.can_restart = true, .busy = 1 << 30};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 2}, 64);
    struct client *c = client_new(20, 100);
    atomic_store(&m.fail_after, 3);
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    while (atomic_load(&m.fail_after))
        usleep(100);
    engine_close(e);
    client_wait(c);
    ck_assert_int_eq(c->end, END_CANCELLED);
    client_free(c);
    fake_model_free(&m);
}
END_TEST

/* ---- Tests with adapters ---- */

START_TEST(adapters_compete_for_pages)
{
    enum { N = 24 };
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 6, .max_rows = 32}, 24, 8, 3);
    struct client *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = client_new(30 + i, 20);
        if (i % 9)
            use_adapter(c[i], e, i % 9 - 1);
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    for (int i = 0; i < N; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        ck_assert_int_eq(c[i]->end, END_LENGTH);
        client_free(c[i]);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_uint_gt(s.adapter_evictions, 0);
    close_all(e, &m);
}
END_TEST

START_TEST(bad_adapter_fails_its_requests_only)
{
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){0}, 64, 2, 2);
    fake_write_adapter(folder, "a1", 5, 2, "bad");
    struct client *bad = client_new(20, 10), *good = client_new(20, 10), *huge = client_new(20, 10);
    use_adapter(bad, e, 1);
    use_adapter(good, e, 0);
    ck_assert_int_eq(client_submit(bad, e, &err), 0);
    run_one(good, e);
    client_wait(bad);
    ck_assert_int_eq(bad->end, END_ERROR);
    ck_assert_int_eq(bad->why.code, OL_EFORMAT);
    fake_write_adapter(folder, "a1", 2000, 64, ""); /* repaired, but as large as the pool: tried again, and refused */
    use_adapter(huge, e, 1);
    ck_assert_int_eq(client_submit(huge, e, &err), 0);
    client_wait(huge);
    ck_assert_int_eq(huge->end, END_ERROR);
    ck_assert_int_eq(huge->why.code, OL_ELIMIT);
    client_free(bad);
    client_free(good);
    client_free(huge);
    close_all(e, &m);
}
END_TEST

START_TEST(replace_and_unload_under_load)
{
    struct fake_model m = {.step_ns = 300000};
    struct err err;
    char path[600];
    struct engine *e = open_with_adapters(&m, (struct engine_config){0}, 64, 2, 2);
    struct adapter_store *store = engine_adapters(e);
    struct client *old = client_new(20, 100), *new = client_new(20, 20), *forced = client_new(20, 200);
    use_adapter(old, e, 0);
    ck_assert_int_eq(client_submit(old, e, &err), 0);
    while (atomic_load(&m.steps) < 3)
        usleep(200);
    fake_write_adapter(folder, "a0b", 77000, 1, "");
    snprintf(path, sizeof path, "%s/a0b", folder);
    ck_assert_int_eq(adapter_load(store, "a0", path, false, false, &err), OL_EEXIST);
    ck_assert_int_eq(adapter_load(store, "a0", path, true, false, &err), 0);
    use_adapter(new, e, 0);
    new->adapter_value = 77000;
    run_one(new, e); /* the new version, not a page of the old one's cache */
    ck_assert_int_eq(new->usage.cached_tokens, 0);
    client_wait(old); /* ran to its end on the old version */
    client_check(old);
    ck_assert_int_eq(old->end, END_LENGTH);

    use_adapter(forced, e, 0);
    forced->adapter_value = 77000;
    m.step_ns = 5000000; /* a second for its 200 tokens, which it must not reach */
    ck_assert_int_eq(client_submit(forced, e, &err), 0);
    usleep(3000);
    ck_assert_int_eq(adapter_unload(store, "a0", true, &err), 0);
    client_wait(forced);
    client_check(forced);
    ck_assert_int_eq(forced->end, END_CANCELLED);
    ck_assert_int_eq(adapter_unload(store, "a0", true, &err), OL_ENOTFOUND);
    struct engine_stats s;
    do { /* pages go with the last reference */
        usleep(200);
        engine_stats(e, &s);
    } while (s.pages_adapter);
    client_free(old);
    client_free(new);
    client_free(forced);
    close_all(e, &m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *t = tcase_create("engine");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, one_request);
    tcase_add_test(t, limits);
    tcase_add_test(t, multi_turn_uses_the_cache);
    tcase_add_test(t, choices_prefill_once);
    tcase_add_test(t, cancelling);
    tcase_add_test(t, queue_is_bounded_and_drains);
    tcase_add_test(t, flex_fills_half_of_the_queue);
    tcase_add_test(t, device_loss_ends_everything);
    tcase_add_test(t, losses_are_survived);
    tcase_add_test(t, restarts_that_fail);
    tcase_add_test(t, close_while_lost);
    tcase_add_test(t, adapters_compete_for_pages);
    tcase_add_test(t, bad_adapter_fails_its_requests_only);
    tcase_add_test(t, replace_and_unload_under_load);
    suite_add_tcase(suite, t);
    return run_engine_suite(suite);
}
