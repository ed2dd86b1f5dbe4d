/* What a training keeps: safetensors files as written and read, checkpoints to the bit, damage noticed; what is held
 * out; the adapter's start. */
#include "model/safetensors_write.h"
#include "training/adapter_write.h"
#include "training/checkpoint.h"
#include "training/plan.h"

#include "model_files.h"

#include <math.h>

static char *folder;
static void setup(void) { folder = scratch_make(); }
static void teardown(void)
{
    static const char *const names[] = {"a", "a.part"};
    scratch_remove(folder, names, 2);
}

static struct safetensor tensor_of(const char *name, enum dtype dtype, int64_t n, const void *data, size_t bytes)
{
    return (struct safetensor){.name = {name, strlen(name)}, .dtype = dtype, .dims = {n, 1, 1, 1}, .n_dims = 1,
                               .data = data, .bytes = bytes};
}

START_TEST(tensors_come_back)
{
    static const float wide[3] = {1, -2.5f, 3e-30f};
    static const uint16_t narrow[2] = {0x3c00, 0x8001};
    const struct safetensor tensors[] = {tensor_of("b", DTYPE_F32, 3, wide, sizeof wide),
                                         tensor_of("a", DTYPE_F16, 2, narrow, sizeof narrow)};
    const struct safetensors_note notes[] = {{"format", "pt"}, {"said", "\"quoted\" ü"}};
    char *path = scratch_path(folder, "a");
    struct safetensors *s;
    struct err e = {0};
    ck_assert_msg(safetensors_write(path, tensors, 2, notes, 2, &e) == 0, "%s", e.message);
    ck_assert_msg(safetensors_open(path, &s, &e) == 0, "%s", e.message);
    const struct safetensor *b = safetensors_find(s, "b"), *a = safetensors_find(s, "a");
    ck_assert(safetensors_count(s) == 2 && b && !memcmp(b->data, wide, sizeof wide) && b->dims[0] == 3);
    ck_assert(a && a->dtype == DTYPE_F16 && !memcmp(a->data, narrow, sizeof narrow));
    ck_assert_str_eq(safetensors_note(s, "said"), "\"quoted\" ü");
    ck_assert_ptr_null(safetensors_note(s, "b"));
    safetensors_close(s);
    free(path);
}
END_TEST

START_TEST(what_no_reader_would_take_is_not_written)
{
    static const float data[4];
    const struct safetensor good = tensor_of("a", DTYPE_F32, 4, data, 16);
    struct safetensor bad[] = {good, good, good, good, good, good};
    bad[0].name.len = 0;
    bad[1].dims[0] = 0;
    bad[2].bytes = 12;
    bad[3].dtype = DTYPE_Q8_0;
    bad[4].n_dims = 5;
    bad[5].dims[0] = (int64_t)1 << 40;
    char *path = scratch_path(folder, "a");
    struct err e = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(safetensors_write(path, &bad[i], 1, NULL, 0, &e), OL_EINVAL);
    const struct safetensor twice[] = {good, good};
    assert_refused(safetensors_write(path, twice, 2, NULL, 0, &e), e, OL_EINVAL, "twice");
    static const uint16_t half[1];
    const struct safetensor odd[] = {tensor_of("h", DTYPE_F16, 1, half, 2), good};
    assert_refused(safetensors_write(path, odd, 2, NULL, 0, &e), e, OL_EINVAL, "aligned");
    assert_refused(safetensors_write(path, NULL, 0, NULL, 0, &e), e, OL_EINVAL, "no tensors");
    ck_assert_int_eq(access(path, F_OK), -1);
    free(path);
}
END_TEST

enum { N = 37 };

static struct checkpoint_vectors vectors_of(float (*v)[N], int64_t n)
{
    return (struct checkpoint_vectors){v[0], v[1], v[2], n};
}

START_TEST(checkpoints_come_back_to_the_bit)
{
    float v[3][N], back[3][N];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < N; k++)
            v[i][k] = ldexpf((float)(k - 10 * i) / 3, 40 * i - k);
    v[1][5] = -0.0f;
    char *path = scratch_path(folder, "a");
    struct err e = {0};
    const struct checkpoint_vectors out = vectors_of(v, N), in = vectors_of(back, N), small = vectors_of(back, N - 1);
    json_t *state = json_pack("{ss si}", "é", "x", "step", 7), *read;
    ck_assert_msg(checkpoint_write(path, &out, state, &e) == 0, "%s", e.message);
    ck_assert_msg(checkpoint_read(path, &in, &read, &e) == 0, "%s", e.message);
    ck_assert(json_equal(state, read) && !memcmp(v, back, sizeof v));
    json_decref(read);
    ck_assert_int_eq(checkpoint_read_state(path, &read, &e), 0);
    ck_assert(json_equal(state, read));
    json_decref(read);
    assert_refused(checkpoint_read(path, &small, &read, &e), e, OL_EFORMAT, "another size");
    json_decref(state);
    free(path);
}
END_TEST

/* Each byte of a checkpoint's header changed, and many of its data: never read as if nothing were. Blanks of the
 * header's padding are no content. */
START_TEST(damage_to_a_checkpoint_is_noticed)
{
    float v[3][N] = {{1, 2}, {3}, {4}}, back[3][N];
    const struct checkpoint_vectors out = vectors_of(v, N), in = vectors_of(back, N);
    char *path = scratch_path(folder, "a");
    struct err e = {0};
    json_t *state = json_pack("{si}", "step", 7), *read;
    ck_assert_int_eq(checkpoint_write(path, &out, state, &e), 0);
    FILE *f = fopen(path, "rb");
    unsigned char bytes[2048];
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    ck_assert(n > 3 * sizeof *v && n < sizeof bytes);
    for (size_t i = 0; i < n; i += i < n - sizeof v ? 1 : 11) {
        bytes[i] ^= 1;
        scratch_write(folder, "a", bytes, n);
        read = NULL;
        int rc = checkpoint_read(path, &in, &read, &e);
        bool same = rc == 0 && json_equal(state, read) && !memcmp(v, back, sizeof v);
        ck_assert_msg(rc < 0 || same, "byte %zu", i);
        json_decref(read);
        bytes[i] ^= 1;
    }
    for (size_t cut = 0; cut < n; cut += 37) {
        scratch_write(folder, "a", bytes, cut);
        ck_assert_int_lt(checkpoint_read(path, &in, &read, &e), 0);
    }
    json_decref(state);
    free(path);
}
END_TEST

static const struct train_settings settings = {.targets = 1, .rank = 8, .alpha = 16, .data = {64, LONG_REFUSE},
                                               .batch = 4, .accumulate = 2, .rate = 1e-3, .epochs = 3, .seed = 5,
                                               .adamw = {0.9, 0.999, 1e-8, 0}};

START_TEST(an_epoch_sees_every_example_once)
{
    struct train_settings s = settings;
    struct train_plan p;
    struct err e = {0};
    s.eval_fraction = 0.1;
    ck_assert_int_eq(train_plan_init(&s, 101, &p, &e), 0);
    ck_assert(p.n_held_out == 10 && p.n_train == 91 && p.steps_per_epoch == 12 && p.steps == 36 && p.epochs == 3);
    uint64_t masks[3 * 91];
    int seen[101] = {0}, drawn = 0;
    for (int64_t step = 0; step < p.steps; step++) {
        uint32_t first, n = train_plan_step(&p, step, &first);
        ck_assert_uint_eq(n, step % 12 == 11 ? 3 : 8);
        for (uint32_t i = 0; i < n; i++, drawn++) {
            seen[train_plan_example(&p, first + i, &masks[drawn])]++;
            for (int k = 0; k < drawn; k++)
                ck_assert_uint_ne(masks[k], masks[drawn]); /* other dropout each time */
        }
    }
    for (uint32_t i = 0; i < p.n_held_out; i++) {
        ck_assert_int_eq(seen[p.held_out[i]], 0);
        seen[p.held_out[i]] = 3;
    }
    for (int i = 0; i < 101; i++)
        ck_assert_int_eq(seen[i], 3);
    train_plan_deinit(&p);
    s.steps = 25;
    ck_assert_int_eq(train_plan_init(&s, 101, &p, &e), 0);
    ck_assert(p.steps == 25 && p.epochs == 3);
    train_plan_deinit(&p);
    s.eval_fraction = 0.99;
    assert_refused(train_plan_init(&s, 3, &p, &e), e, OL_EINVAL, "leave none");
}
END_TEST

START_TEST(settings_are_checked)
{
    struct train_settings bad[9];
    struct err e = {0};
    for (size_t i = 0; i < 9; i++)
        bad[i] = settings;
    ck_assert_int_eq(train_settings_check(&settings, &e), 0);
    bad[0].targets = 0;
    bad[1].rank = LORA_MAX_RANK + 1;
    bad[2].alpha = NAN;
    bad[3].dropout = 1;
    bad[4].batch = MAX_BATCH;
    bad[5].eval_fraction = 1;
    bad[6].rate = INFINITY;
    bad[7].adamw.beta2 = 1;
    bad[8].epochs = 0;
    for (size_t i = 0; i < 9; i++)
        ck_assert_msg(train_settings_check(&bad[i], &e) == OL_EINVAL, "%zu", i);
}
END_TEST

/* A uniform in ±1/√in: its bounds, its mean and its variance (1/3 of the bound's square); B zero. */
START_TEST(the_start_is_pefts)
{
    enum { RANK = 16, IN = 400, OUT = 100 };
    struct lora_place places[] = {{.rank = RANK, .in = IN, .out = OUT, .a = 0, .b = RANK * IN}};
    const struct lora_layout layout = {places, 1, RANK * (IN + OUT)};
    float *params = malloc((size_t)layout.n_params * sizeof *params);
    double sum = 0, square = 0;
    memset(params, 0xff, (size_t)layout.n_params * sizeof *params);
    adapter_initialise(&layout, 9, params);
    for (int i = 0; i < RANK * IN; i++) {
        double x = (double)params[i] * 20; /* √400 */
        ck_assert(x >= -1 && x < 1);
        sum += x;
        square += x * x;
    }
    ck_assert(fabs(sum / (RANK * IN)) < 0.03 && fabs(square / (RANK * IN) - 1.0 / 3) < 0.02); /* four deviations */
    for (int64_t i = places[0].b; i < layout.n_params; i++)
        ck_assert(params[i] == 0);
    free(params);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("training");
    TCase *files = tcase_create("files"), *plans = tcase_create("plans");
    tcase_set_timeout(files, 60); /* hundreds of files */
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, tensors_come_back);
    tcase_add_test(files, what_no_reader_would_take_is_not_written);
    tcase_add_test(files, checkpoints_come_back_to_the_bit);
    tcase_add_test(files, damage_to_a_checkpoint_is_noticed);
    tcase_add_test(plans, an_epoch_sees_every_example_once);
    tcase_add_test(plans, settings_are_checked);
    tcase_add_test(plans, the_start_is_pefts);
    suite_add_tcase(s, files);
    suite_add_tcase(s, plans);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
