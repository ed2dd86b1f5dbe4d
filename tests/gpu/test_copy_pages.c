/* copy_pages: pages equal the CPU's byte for byte, chains of copies among them. */
#include "tests/gpu/pair.h"

enum { N_PAGES = 9, MAX_COPIES = 6 };

/* 1 → 4 → 7 is a chain; 0 is read twice, 3 is overwritten twice and read in between. */
static const struct step_copy copies[MAX_COPIES] = {{1, 4}, {4, 7}, {0, 2}, {0, 3}, {3, 5}, {8, 3}};

static void check_pages(size_t page_bytes, int n_copies)
{
    struct pair p;
    pair_open(&p);
    size_t bytes = N_PAGES * page_bytes;
    struct both pool = pair_alloc(&p, bytes);
    unsigned char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    pair_fill(&p, pool, data, bytes);
    const struct step_limits limits = {.max_rows = 1, .max_seqs = MAX_COPIES, .max_logits = 1, .max_pages = 1};
    struct step *step = calloc(1, step_layout(&limits).bytes);
    step->limits = limits;
    step->n_rows = 1;
    step->n_copies = n_copies;
    memcpy(step_copies(step), copies, sizeof copies);
    for (int d = 0; d < 2; d++) {
        pair_begin(&p, d, step);
        p.ops[d]->copy_pages(p.stream[d], &(struct op_copy_pages){p.step.at[d], pool.at[d], page_bytes});
        pair_finish(&p, d);
    }
    pair_equal(&p, pool, bytes, "pool");
    unsigned char *copied = malloc(bytes);
    pair_read(&p, GPU, copied, pool, bytes);
    for (int i = 0; i < n_copies; i++)
        memcpy(data + (size_t)copies[i].dst_page * page_bytes, data + (size_t)copies[i].src_page * page_bytes, page_bytes);
    ck_assert(!memcmp(copied, data, bytes));
    free(copied);
    free(step);
    free(data);
    pair_close(&p);
}

START_TEST(pages)
{
    static const size_t sizes[] = {64, 4096, 16384, 16384 + 64, 49152 - 16}; /* around a block's slice */
    for (int n = 0; n <= MAX_COPIES; n += 3)
        check_pages(sizes[_i], n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("copy_pages");
    TCase *tests = tcase_create("copy_pages");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, pages, 0, 5);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
