/* The engine with its worker process: the same answers as without; and the process killed, stopped, prevented from
 * starting again, while it computes. Afterwards nothing is left of it. */
#include "engine/worker_main.h"
#include "tiny_engine.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct run alone, other;

static struct engine_config in_worker(void)
{
    return (struct engine_config){.worker = WORKER_ON, .pool_bytes = 500 * 4096, .device = {.threads = 1}};
}

/* ---- looking at processes */

/* The one child of this process, or 0. */
static pid_t child(void)
{
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *d; (d = readdir(proc));) {
        char path[300], stat[300] = "";
        snprintf(path, sizeof path, "/proc/%.100s/stat", d->d_name);
        FILE *f = d->d_name[0] >= '1' && d->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        size_t n = fread(stat, 1, sizeof stat - 1, f);
        stat[n] = 0;
        fclose(f);
        const char *after = strrchr(stat, ')');
        char state;
        int parent;
        if (after && sscanf(after + 1, " %c %d", &state, &parent) == 2 && parent == getpid() && state != 'Z')
            found = (pid_t)strtol(d->d_name, NULL, 10);
    }
    closedir(proc);
    return found;
}

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* No child, running or not, and no descriptor more than before. */
static void nothing_left(int descriptors)
{
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(open_descriptors(), descriptors);
}

/* ---- what happens to the child while it computes: at_token is the engine's thread between two steps */

static struct harm {
    int at_token, signal;
} harms[2];

static void do_harm(int token)
{
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++)
        if (harms[i].signal && harms[i].at_token == token)
            ck_assert_int_eq(kill(child(), harms[i].signal), 0);
}

/* All requests together, with these harms. */
static void run_harmed(struct engine_config c, struct harm first, struct harm second)
{
    harms[0] = first;
    harms[1] = second;
    at_token = do_harm;
    run(c, true, &other);
    at_token = NULL;
}

static void compute_alone(void)
{
    const struct engine_config plain = {.pool_bytes = 500 * 4096, .no_prefix_cache = true, .device = {.threads = 1}};
    run(plain, false, &alone);
}

/* ---- */

START_TEST(the_same_bits)
{
    int descriptors = open_descriptors();
    compute_alone();
    run(in_worker(), true, &other);
    compare(&alone, &other);
    ck_assert_uint_gt(other.stats.lora_ops, 0);
    ck_assert_uint_gt(other.stats.prefix_hits, 0);
    ck_assert_int_eq(other.stats.pages_total, 500);
    ck_assert_uint_gt(other.stats.memory.weights_bytes, 0);
    ck_assert_uint_eq(other.stats.restarts, 0);
    struct engine_config small = in_worker();
    small.pool_bytes = 14 * 4096;
    small.max_seqs = 6;
    small.max_rows = 7;
    run(small, true, &other);
    compare(&alone, &other);
    struct engine *e = open_engine(in_worker());
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_str_eq(s.device.backend, "cpu");
    ck_assert_str_eq(s.device.numerics, NUMERICS_ID);
    engine_close(e);
    nothing_left(descriptors);
}
END_TEST

/* Every answer goes on, to the same bits. */
START_TEST(killed_under_load)
{
    int descriptors = open_descriptors();
    compute_alone();
    run_harmed(in_worker(), (struct harm){50, SIGKILL}, (struct harm){400, SIGABRT});
    compare(&alone, &other);
    ck_assert_uint_eq(other.stats.restarts, 2);
    nothing_left(descriptors);
}
END_TEST

START_TEST(hung_under_load)
{
    int descriptors = open_descriptors();
    struct engine_config c = in_worker();
    c.step_timeout_ms = 1000;
    compute_alone();
    run_harmed(c, (struct harm){100, SIGSTOP}, (struct harm){0});
    compare(&alone, &other);
    ck_assert_uint_eq(other.stats.restarts, 1);
    nothing_left(descriptors);
}
END_TEST

/* Noticed while nobody asks for anything. */
START_TEST(killed_while_idle)
{
    struct engine_stats s;
    struct engine *e = open_engine(in_worker());
    kill(child(), SIGKILL);
    while (engine_stats(e, &s), s.restarts == 0)
        usleep(1000);
    submit(e, 0, &other.answers[0]);
    wait_ended(1);
    ck_assert_int_eq(other.answers[0].end, END_LENGTH);
    engine_close(e);
}
END_TEST

/* The files change, so no new worker can stand in for the old one: refused until they are as before. */
START_TEST(cannot_start_again)
{
    struct engine_stats s;
    struct engine *e = open_engine(in_worker());
    char *aside = scratch_path(folder, "aside");
    ck_assert_int_eq(rename(model_path, aside), 0);
    kill(child(), SIGSTOP); /* so that none ends before */
    for (int i = 0; i < REQUESTS; i++)
        submit(e, i, &other.answers[i]);
    kill(child(), SIGKILL);
    wait_ended(REQUESTS);
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_eq(other.answers[i].end, END_ERROR);
        ck_assert_int_eq(other.answers[i].why.code, OL_EDEVICE);
        ck_assert_msg(strstr(other.answers[i].why.message, "could not be restarted") != NULL, "%s",
                      other.answers[i].why.message);
    }
    engine_stats(e, &s);
    ck_assert(s.restarting);
    ck_assert_int_eq(rename(aside, model_path), 0);
    while (engine_stats(e, &s), s.restarting)
        usleep(1000);
    n_ended = 0;
    submit(e, 0, &other.answers[0]);
    wait_ended(1);
    ck_assert_int_eq(other.answers[0].end, END_LENGTH);
    engine_close(e);
    free(aside);
}
END_TEST

START_TEST(closed_in_any_state)
{
    int descriptors = open_descriptors();
    engine_close(open_engine(in_worker()));
    struct engine *e = open_engine(in_worker()); /* dead, not noticed */
    kill(child(), SIGKILL);
    engine_close(e);
    e = open_engine(in_worker()); /* being started again */
    kill(child(), SIGKILL);
    for (int i = 0; i < REQUESTS; i++)
        submit(e, i, &other.answers[i]);
    struct engine_stats s;
    while (engine_stats(e, &s), !s.restarting)
        usleep(100);
    engine_close(e);
    wait_ended(REQUESTS);
    nothing_left(descriptors);
}
END_TEST

/* What fails in the child is told as it would be here. */
START_TEST(errors_of_opening)
{
    int descriptors = open_descriptors();
    struct engine *e;
    struct err here, there;
    for (int i = 0; i < 3; i++) {
        struct engine_config c = in_worker();
        c.model_path = i == 0 ? "/nowhere" : model_path;
        c.device.isa = i == 1 ? "abacus" : NULL;
        c.pool_bytes = i == 2 ? 4096 : c.pool_bytes;
        int rc = engine_open(&c, &e, &there);
        ck_assert_int_lt(rc, 0);
        c.worker = WORKER_OFF;
        ck_assert_int_eq(engine_open(&c, &e, &here), rc);
        ck_assert_str_eq(here.message, there.message);
    }
    nothing_left(descriptors);
}
END_TEST

/* The child dies with us, whatever it does: this process kills itself while it has one. */
START_TEST(dies_with_its_parent)
{
    int pipes[2];
    pid_t worker = 0;
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct engine *e = open_engine(in_worker());
        pid_t c = child();
        kill(c, SIGSTOP);
        if (write(pipes[1], &c, sizeof c) == (ssize_t)sizeof c)
            kill(getpid(), SIGKILL);
        engine_close(e);
        _exit(1);
    }
    ck_assert_int_eq(read(pipes[0], &worker, sizeof worker), sizeof worker);
    waitpid(parent, NULL, 0);
    for (int i = 0; i < 2000 && kill(worker, 0) == 0; i++) {
        char path[40], line[200] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)worker);
        FILE *f = fopen(path, "r");
        if (f && fgets(line, sizeof line, f) && strstr(line, ") Z ")) /* nobody here reaps orphans */
            i = 2000;
        if (f)
            fclose(f);
        if (i < 2000)
            usleep(1000);
        else
            worker = 0;
    }
    ck_assert(worker == 0 || kill(worker, 0) != 0);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

int main(int argc, char **argv)
{
    if (worker_wanted(argc, argv))
        return worker_main();
    Suite *suite = suite_create("worker");
    TCase *t = tcase_create("worker");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_same_bits);
    tcase_add_test(t, killed_under_load);
    tcase_add_test(t, hung_under_load);
    tcase_add_test(t, killed_while_idle);
    tcase_add_test(t, cannot_start_again);
    tcase_add_test(t, closed_in_any_state);
    tcase_add_test(t, errors_of_opening);
    tcase_add_test(t, dies_with_its_parent);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
