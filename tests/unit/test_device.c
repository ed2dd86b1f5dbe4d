/* The CPU device apart from its arithmetic: argument errors at submit, order, memory and its protection, choice of
 * the instruction set, threads. Meant to be run under the sanitizers too. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/phases.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xmmintrin.h>

static const struct device_ops *ops;
static struct device *device;
static struct stream *stream;
static struct err e;

static void open_with(const struct device_config *config)
{
    ops = device_cpu();
    int rc = ops->open(config, &device, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    ck_assert_int_eq(ops->stream_open(device, &stream, &e), 0);
}

static void open_threads(int threads) { open_with(&(struct device_config){.threads = threads}); }

static void close_all(void)
{
    ops->stream_close(stream);
    ops->close(device);
}

static dptr alloc(size_t bytes)
{
    dptr p;
    ck_assert_int_eq(ops->alloc(device, bytes, &p, &e), 0);
    return p;
}

static void run_all(void)
{
    uint64_t ticket;
    int rc = ops->submit(stream, &ticket, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    ck_assert_int_eq(ops->wait(stream, ticket, &e), 0);
}

START_TEST(bad_arguments_fail_at_submit_and_run_nothing)
{
    open_threads(1);
    dptr p = alloc(64);
    char in = 1, out = 0;
    uint64_t ticket;
    const struct op_matmul bad = {.y = p, .ldy = 16};
    ops->copy_in(stream, p, &in, 1);
    ops->matmul(stream, &bad);
    ops->copy_in(stream, 0, &in, 1); /* a second problem: the first is reported */
    ck_assert_int_eq(ops->submit(stream, &ticket, &e), OL_EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "matmul (command 1 "));
    ck_assert_ptr_nonnull(strstr(e.message, "step or weight is null"));
    ops->copy_out(stream, &out, p, 1);
    run_all();
    ck_assert_int_eq(out, 0); /* the good command before the bad one did not run either */
    ck_assert_int_eq(ops->wait(stream, 99, &e), OL_EINVAL);
    close_all();
}
END_TEST

START_TEST(each_operation_checks_its_arguments)
{
    open_threads(1);
    const struct op_copy_pages copy_pages = {0};
    const struct op_embed embed = {0};
    const struct op_rope_table rope_table = {0};
    const struct op_add_norm add_norm = {0};
    const struct op_matmul matmul = {0};
    const struct op_lora lora = {0};
    const struct op_rope_kv rope_kv = {0};
    const struct op_attention attention = {0};
    const struct op_silu_mul silu_mul = {0};
    const struct op_sample sample = {0};
    uint64_t ticket;
#define REFUSED(name)                                                \
    ops->name(stream, &name);                                        \
    ck_assert_int_eq(ops->submit(stream, &ticket, &e), OL_EINVAL); \
    ck_assert_ptr_eq(strstr(e.message, #name), e.message)
    REFUSED(copy_pages);
    REFUSED(embed);
    REFUSED(rope_table);
    REFUSED(add_norm);
    REFUSED(matmul);
    REFUSED(lora);
    REFUSED(rope_kv);
    REFUSED(attention);
    REFUSED(silu_mul);
    REFUSED(sample);
#undef REFUSED
    ck_assert_int_eq(ops->submit(stream, &ticket, &e), 0); /* an empty submit is fine */
    ck_assert_int_eq(ops->wait(stream, ticket, &e), 0);
    close_all();
}
END_TEST

START_TEST(a_full_stream_is_an_error)
{
    open_threads(2);
    dptr p = alloc(64);
    char in = 7, out = 0;
    uint64_t ticket;
    for (int i = 0; i < 4097; i++)
        ops->copy_in(stream, p, &in, 1);
    ck_assert_int_eq(ops->submit(stream, &ticket, &e), OL_EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "full"));
    for (int i = 0; i < 4095; i++)
        ops->copy_in(stream, p, &in, 1);
    ops->copy_out(stream, &out, p, 1);
    run_all();
    ck_assert_int_eq(out, 7);
    close_all();
}
END_TEST

START_TEST(submits_run_in_order)
{
    open_threads(2);
    enum { BYTES = 1 << 20 }; /* several tiles per copy */
    dptr a = alloc(BYTES), b = alloc(BYTES);
    static char in[BYTES], out[BYTES];
    uint64_t first, second;
    for (int i = 0; i < BYTES; i++)
        in[i] = (char)(i * 31);
    ops->copy_in(stream, a, in, BYTES);
    ck_assert_int_eq(ops->submit(stream, &first, &e), 0);
    ops->copy_in(stream, b, host(a), BYTES); /* host and device are one here: reads what the first wrote */
    ops->copy_out(stream, out, b, BYTES);
    ck_assert_int_eq(ops->submit(stream, &second, &e), 0);
    ck_assert_uint_gt(second, first);
    ck_assert_int_eq(ops->wait(stream, second, &e), 0);
    ck_assert_int_eq(ops->wait(stream, first, &e), 0); /* long done */
    ck_assert_mem_eq(in, out, BYTES);
    close_all();
}
END_TEST

START_TEST(memory_is_zeroed_aligned_and_counted)
{
    open_threads(1);
    static const size_t sizes[] = {1, 63, 4096, (5 << 20) + 3};
    struct device_info info;
    size_t total = 0;
    dptr p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = alloc(sizes[i]);
        ck_assert_uint_eq(p[i] % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK(((char *)host(p[i]))[k] == 0);
        memset(host(p[i]), 1, sizes[i]);
        total += sizes[i];
    }
    ops->info(device, &info);
    ck_assert_uint_eq(info.allocated_bytes, total);
    for (int i = 0; i < 4; i++)
        ops->free(device, p[i]);
    ops->free(device, 0);
    ops->info(device, &info);
    ck_assert_uint_eq(info.allocated_bytes, 0);
    dptr none;
    ck_assert_int_eq(ops->alloc(device, SIZE_MAX, &none, &e), OL_ENOMEM);
    ck_assert_int_eq(ops->upload(device, 0, "x", 1, &e), OL_EINVAL);
    close_all();
}
END_TEST

/* Asks the kernel, which answers with an error where a load would be a fault. */
static bool readable(const void *p)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    ssize_t n = write(fd[1], p, 1);
    ck_assert(n == 1 || errno == EFAULT);
    close(fd[0]);
    close(fd[1]);
    return n == 1;
}

START_TEST(protected_memory_is_closed_outside_of_wait)
{
    open_with(&(struct device_config){.threads = 2, .protect = true});
    dptr a = alloc(100), b = alloc(3 << 20);
    char in[4] = "abc", out[4] = "";
    const uint8_t block[34] = {0};
    const struct weight_part part = {"w", DTYPE_Q8_0, 1, 32, block, sizeof block, 0};
    struct weight *w;
    ck_assert_int_eq(ops->weight_load(device, &part, 1, &w, &e), 0);
    ck_assert(!readable(host(a)) && !readable(host(b)) && !readable(w->data));
    ck_assert_int_eq(ops->upload(device, a, in, 4, &e), 0);
    ck_assert(!readable(host(a)));
    ops->copy_in(stream, b, host(a), 4);
    ops->copy_out(stream, out, b, 4);
    run_all();
    ck_assert_str_eq(out, "abc");
    ck_assert(!readable(host(a)) && !readable(host(b)));
    ops->weight_free(device, w);
    close_all();
    open_threads(1);
    ck_assert(readable(host(alloc(100))));
    close_all();
}
END_TEST

static bool never(void) { return false; }

static void wrong_run(const void *arg, int tile, int tiles, int worker)
{
    const struct op_matmul *op = arg;
    matmul_ref.run(arg, tile, tiles, worker);
    if (op->w->dtype == DTYPE_Q6_K && tile == 0) /* one type, one output, its last bit */
        ((unsigned char *)host(op->y))[4] ^= 1;
}

START_TEST(an_instruction_set_that_computes_wrongly_is_not_used)
{
    const struct cpu_phase wrong_matmul = {matmul_ref.tiles, wrong_run};
    const struct cpu_kernels wrong = {.isa = "wrong", .phase = {[CMD_MATMUL] = &wrong_matmul}};
    const struct cpu_kernels absent = {.isa = "absent"};
    const struct cpu_candidate list[] = {{&absent, never}, {&wrong, NULL}, {&cpu_kernels_ref, NULL}};
    const struct cpu_kernels *chosen;
    ck_assert_int_eq(cpu_select(NULL, list, 3, &chosen, &e), 0);
    ck_assert_ptr_eq(chosen, &cpu_kernels_ref);
    ck_assert_int_eq(cpu_select("auto", list, 2, &chosen, &e), OL_EUNSUPPORTED);
    ck_assert_int_eq(cpu_select("wrong", list, 3, &chosen, &e), OL_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(e.message, "wrong answers"));
    ck_assert_int_eq(cpu_select("absent", list, 3, &chosen, &e), OL_EUNSUPPORTED);
    ck_assert_int_eq(cpu_select("mmx", list, 3, &chosen, &e), OL_EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "auto, absent, wrong, ref"));
    ck_assert_ptr_null(chosen);
}
END_TEST

START_TEST(bad_configurations_are_refused)
{
    const struct device_config bad[] = {{.threads = -1}, {.threads = MAX_DEVICE_THREADS + 1}, {.isa = "sse"}};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(device_cpu()->open(&bad[i], &device, &e), OL_EINVAL);
        ck_assert_ptr_null(device);
    }
    struct device_info info;
    open_with(&(struct device_config){.isa = "ref", .threads = 3});
    ops->info(device, &info);
    ck_assert_str_eq(info.isa, "ref");
    ck_assert_str_eq(info.backend, "cpu");
    ck_assert_int_eq(info.threads, 3);
    close_all();
}
END_TEST

/* A chain of page copies in one step: page i+1 becomes page i of before, page 0 stays. */
enum { PAGES = 8, PAGE_BYTES = 70000, CHAIN_ROUNDS = 100 }; /* a page is two slices */

static void *copy_chain(void *arg)
{
    const int id = *(const int *)arg;
    struct stream *mine;
    struct err error;
    uint64_t ticket;
    const struct step_limits limits = {.max_seqs = PAGES};
    size_t bytes = step_layout(&limits).bytes;
    struct step *step = calloc(1, bytes);
    step->limits = limits;
    char *pages = malloc(PAGES * PAGE_BYTES);
    for (int i = 0; i < PAGES; i++)
        memset(pages + i * PAGE_BYTES, id + i, PAGE_BYTES);
    dptr pool, dstep;
    CHECK(ops->alloc(device, PAGES * PAGE_BYTES, &pool, &error) == 0);
    CHECK(ops->alloc(device, bytes, &dstep, &error) == 0);
    CHECK(ops->upload(device, pool, pages, PAGES * PAGE_BYTES, &error) == 0);
    CHECK(ops->stream_open(device, &mine, &error) == 0);
    const struct op_copy_pages op = {dstep, pool, PAGE_BYTES};
    for (int round = 0; round < CHAIN_ROUNDS; round++) {
        step->n_copies = round % 20 ? 0 : PAGES - 1; /* mostly steps with nothing to do */
        for (int i = 0; i < PAGES - 1; i++)
            step_copies(step)[i] = (struct step_copy){PAGES - 2 - i, PAGES - 1 - i};
        for (int twice = 0; twice < 2; twice++) {
            ops->copy_in(mine, dstep, step, bytes);
            ops->copy_pages(mine, &op);
        }
        CHECK(ops->submit(mine, &ticket, &error) == 0 && ops->wait(mine, ticket, &error) == 0);
    }
    CHECK(ops->download(device, pages, pool, PAGES * PAGE_BYTES, &error) == 0);
    for (int i = 1; i < PAGES; i++) /* after 8 shifts all are what page 0 was */
        CHECK(memcmp(pages, pages + i * PAGE_BYTES, PAGE_BYTES) == 0 && pages[0] == (char)id);
    ops->stream_close(mine);
    free(pages);
    free(step);
    return NULL;
}

START_TEST(streams_of_several_threads_share_the_pool)
{
    enum { CALLERS = 3 };
    pthread_t callers[CALLERS];
    int id[CALLERS] = {10, 20, 30};
    open_threads(_i);
    for (int i = 0; i < CALLERS; i++)
        ck_assert_int_eq(pthread_create(&callers[i], NULL, copy_chain, &id[i]), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    close_all();
}
END_TEST

/* A caller that flushes subnormals to zero gets the same result, and its own setting back. */
START_TEST(float_control_is_the_default_one)
{
    enum { FLUSH = 0x8040 };
    open_threads(1);
    const float weight = 0x1p-100f, x[16] = {0x1p-40f};
    const struct weight_part part = {"w", DTYPE_F32, 1, 1, &weight, sizeof weight, 0};
    struct weight *w;
    ck_assert_int_eq(ops->weight_load(device, &part, 1, &w, &e), 0);
    const struct step step = {.n_rows = 1};
    dptr dx = alloc(sizeof x), dy = alloc(64), dstep = alloc(sizeof step);
    ops->upload(device, dx, x, sizeof x, &e);
    ops->upload(device, dstep, &step, sizeof step, &e);
    const struct op_matmul op = {.y = dy, .ldy = 16, .a = {.f32 = dx}, .w = w, .step = dstep};
    unsigned before = _mm_getcsr();
    float y = 0;
    _mm_setcsr(before | FLUSH);
    ops->matmul(stream, &op);
    ops->copy_out(stream, &y, dy, sizeof y);
    run_all();
    unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    ck_assert_uint_eq(after & FLUSH, FLUSH);
    ck_assert(y == 0x1p-140f);
    ops->weight_free(device, w);
    close_all();
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("device");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, bad_arguments_fail_at_submit_and_run_nothing);
    tcase_add_test(c, each_operation_checks_its_arguments);
    tcase_add_test(c, a_full_stream_is_an_error);
    tcase_add_test(c, submits_run_in_order);
    tcase_add_test(c, memory_is_zeroed_aligned_and_counted);
    tcase_add_test(c, protected_memory_is_closed_outside_of_wait);
    tcase_add_test(c, an_instruction_set_that_computes_wrongly_is_not_used);
    tcase_add_test(c, bad_configurations_are_refused);
    tcase_add_loop_test(c, streams_of_several_threads_share_the_pool, 1, 5);
    tcase_add_test(c, float_control_is_the_default_one);
    Suite *s = suite_create("device");
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
