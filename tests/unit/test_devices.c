/* Finding the plugin, listing and choosing devices; with a plugin that only describes (plugin/fake_plugin.c). */
#include "kernels/device.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct device_choice choice;
static struct err e;

static void gpus(const char *what)
{
    setenv("OPENLORA_CUDA_PLUGIN", FAKE_PLUGIN, 1);
    setenv("FAKE_GPUS", what, 1);
}

static void refused(const char *spec, int code, const char *because)
{
    ck_assert_int_eq(device_choose(spec, &choice, &e), code);
    ck_assert_msg(strstr(e.message, because) != NULL, "%s: %s", spec, e.message);
}

static void falls_back(const char *because)
{
    ck_assert_int_eq(device_choose("auto", &choice, &e), 0);
    ck_assert_ptr_eq(choice.ops, device_cpu());
    ck_assert_msg(strstr(choice.reason, because) != NULL, "%s", choice.reason);
    ck_assert_int_eq(device_choose("cpu", &choice, &e), 0);
    ck_assert_str_eq(choice.reason, "");
}

START_TEST(auto_takes_the_first_usable_gpu)
{
    gpus("ouu");
    ck_assert_int_eq(device_choose("auto", &choice, &e), 0);
    ck_assert_ptr_ne(choice.ops, device_cpu());
    ck_assert_int_eq(choice.index, 1);
    ck_assert_str_eq(choice.reason, "");
    ck_assert_int_eq(device_choose("cuda:2", &choice, &e), 0);
    ck_assert_int_eq(choice.index, 2);
    ck_assert_int_eq(device_choose("cuda", &choice, &e), 0);
    ck_assert_int_eq(choice.index, 1);
    ck_assert_int_eq(device_choose("cpu", &choice, &e), 0);
    ck_assert_ptr_eq(choice.ops, device_cpu());
    refused("cuda:0", OL_EUNSUPPORTED, "cuda:0: capability 7.5");
    refused("cuda:3", OL_ENOTFOUND, "no cuda:3: the driver shows 3 GPUs");
}
END_TEST

START_TEST(the_cpu_serves_where_no_gpu_can)
{
    gpus("oo");
    falls_back("capability 7.5");
    refused("cuda", OL_EUNSUPPORTED, "capability 7.5");
    gpus("");
    falls_back("no GPU");
    gpus("driver");
    falls_back("580");
    refused("cuda:0", OL_ENOTFOUND, "580");
    gpus("version");
    falls_back("version 0.0.0-other");
    refused("cuda", OL_EUNSUPPORTED, "build both together");
    setenv("OPENLORA_CUDA_PLUGIN", "/nowhere/x.so", 1);
    falls_back("/nowhere/x.so");
    setenv("OPENLORA_CUDA_PLUGIN", "/dev/null", 1);
    falls_back("cannot be loaded");
    unsetenv("OPENLORA_CUDA_PLUGIN"); /* none lies beside a test program */
    falls_back("--cuda");
}
END_TEST

START_TEST(bad_names_are_told_what_is_possible)
{
    gpus("u");
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda0", "cuda:12345", "CPU"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(bad[i], OL_EINVAL, "auto, cpu, cuda and cuda:N");
}
END_TEST

START_TEST(the_list_starts_with_the_cpu)
{
    static struct device_list l;
    gpus("ou");
    device_list(&l);
    ck_assert_int_eq(l.n, 3);
    ck_assert_str_eq(l.items[0].backend, "cpu");
    ck_assert_int_ge(l.items[0].threads, 1);
    ck_assert_uint_gt(l.items[0].memory_bytes, l.items[0].free_bytes);
    ck_assert_str_ne(l.items[0].isa, "");
    ck_assert_str_eq(l.items[0].why_not, "");
    ck_assert_str_eq(l.items[2].backend, "cuda");
    ck_assert_int_eq(l.items[2].index, 1);
    ck_assert_str_eq(l.why_no_gpu, "");
    gpus("driver");
    device_list(&l);
    ck_assert_int_eq(l.n, 1);
    ck_assert_ptr_nonnull(strstr(l.why_no_gpu, "580"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("devices");
    TCase *t = tcase_create("devices");
    tcase_add_test(t, auto_takes_the_first_usable_gpu);
    tcase_add_test(t, the_cpu_serves_where_no_gpu_can);
    tcase_add_test(t, bad_names_are_told_what_is_possible);
    tcase_add_test(t, the_list_starts_with_the_cpu);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
