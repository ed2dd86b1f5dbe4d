/* What the emulator's tests share: device copies of vectors, and programs that must end with a report. */
#ifndef SIMT_TEST_SUPPORT_H
#define SIMT_TEST_SUPPORT_H

#include <check.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

template <class T> static T *device_copy(const std::vector<T> &host)
{
    void *p;
    ck_assert_int_eq(cudaMalloc(&p, host.size() * sizeof(T)), cudaSuccess);
    ck_assert_int_eq(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
    return (T *)p;
}

template <class T> static std::vector<T> host_copy(const T *p, size_t n)
{
    std::vector<T> out(n);
    ck_assert_int_eq(cudaMemcpy(out.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return out;
}

/* What `program` writes to stderr, run in a process of its own; *status as from waitpid. */
static inline std::vector<char> report_of(void (*program)(), int *status)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        close(pipes[0]);
        dup2(pipes[1], 2);
        program();
        exit(0);
    }
    close(pipes[1]);
    std::vector<char> text;
    char part[4096];
    for (ssize_t n; (n = read(pipes[0], part, sizeof part)) > 0;)
        text.insert(text.end(), part, part + n);
    text.push_back('\0');
    close(pipes[0]);
    ck_assert_int_eq(waitpid(child, status, 0), child);
    return text;
}

static inline void must_report(void (*program)(), const char *words)
{
    int status;
    std::vector<char> text = report_of(program, &status);
    ck_assert_msg(status != 0 && strstr(text.data(), words), "no report with \"%s\" (status %d) but:\n%s", words, status,
                  text.data());
}

static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int bad = srunner_ntests_failed(r);
    srunner_free(r);
    return bad != 0;
}

#endif
