#include "engine/worker_spawn.h"

#include "engine/worker_wire.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULE "worker"

extern char **environ;

enum { POLL_NS = 2000000, FIRST_SPARE_FD = 16 };

/* ---- what the child prints */

static void keep_line(struct worker_child *c, const char *text, size_t n)
{
    size_t most = sizeof c->last_line - 1;
    n = n < most ? n : most;
    memcpy(c->last_line, text, n);
    c->last_line[n] = 0;
}

/* Passes whole buffers on and remembers the last line that is not empty. A line cut by two reads is kept by its end. */
static void *read_output(void *child)
{
    struct worker_child *c = child;
    char text[4096];
    ssize_t n;
    pthread_setname_np(pthread_self(), "ol-worker-out");
    while ((n = read(c->output, text, sizeof text)) > 0 || (n < 0 && errno == EINTR)) {
        size_t end = n < 0 ? 0 : (size_t)n;
        for (size_t done = 0; done < end;) {
            ssize_t wrote = write(STDERR_FILENO, text + done, end - done);
            if (wrote <= 0)
                break;
            done += (size_t)wrote;
        }
        while (end && text[end - 1] == '\n')
            end--;
        size_t begin = end;
        while (begin && text[begin - 1] != '\n')
            begin--;
        if (end > begin)
            keep_line(c, text + begin, end - begin);
    }
    return NULL;
}

/* ---- starting */

/* Moves a descriptor out of the way of the numbers that the child wants; still closed on exec. */
static int lift(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);
    if (high >= 0) {
        close(*fd);
        *fd = high;
    }
    return high;
}

static int spawn(struct worker_child *c, int socket_fd, int memory_fd, int output_fd)
{
    static char name[] = "openlorad", flag[] = "--compute-worker";
    char *argv[] = {name, flag, NULL};
    posix_spawn_file_actions_t f;
    int rc = posix_spawn_file_actions_init(&f);
    if (rc)
        return rc;
    rc = posix_spawn_file_actions_addopen(&f, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    const int map[][2] = {{output_fd, STDOUT_FILENO}, {output_fd, STDERR_FILENO}, {socket_fd, WORKER_SOCKET_FD},
                          {memory_fd, WORKER_MEMORY_FD}};
    for (size_t i = 0; !rc && i < sizeof map / sizeof *map; i++)
        rc = posix_spawn_file_actions_adddup2(&f, map[i][0], map[i][1]);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(&f, WORKER_MEMORY_FD + 1);
    if (!rc)
        rc = posix_spawn(&c->pid, "/proc/self/exe", &f, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&f);
    return rc;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int worker_child_start(struct worker_child *c, int memory_fd, struct err *e)
{
    enum { OURS, THEIRS, OUT_READ, OUT_WRITE, N };
    int fds[N] = {-1, -1, -1, -1};
    *c = (struct worker_child){.socket = -1, .output = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, &fds[OURS]) != 0 ||
        pipe2(&fds[OUT_READ], O_CLOEXEC) != 0 || lift(&fds[THEIRS]) < 0 || lift(&fds[OUT_WRITE]) < 0) {
        int cause = errno;
        close_all(fds, N);
        return err_set(e, OL_EIO, MODULE, "no descriptors for a worker process: %s", strerror(cause));
    }
    int rc = spawn(c, fds[THEIRS], memory_fd, fds[OUT_WRITE]);
    close_all((int[]){fds[THEIRS], fds[OUT_WRITE]}, 2); /* the child's alone: so its end is seen */
    c->socket = fds[OURS];
    c->output = fds[OUT_READ];
    if (rc) {
        c->pid = 0;
        close_all((int[]){c->socket, c->output}, 2);
        return err_set(e, OL_EIO, MODULE, "cannot start a worker process: %s", strerror(rc));
    }
    if (pthread_create(&c->reader, NULL, read_output, c) == 0)
        return 0;
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    c->pid = 0;
    close_all((int[]){c->socket, c->output}, 2);
    return err_set(e, OL_ENOMEM, MODULE, "no thread to read what the worker prints");
}

/* ---- ending */

/* Reaps the child; its status, or −1 if it still runs after wait_ms. */
static int reap(pid_t pid, int wait_ms)
{
    const int64_t end = clock_mono_ns() + (int64_t)wait_ms * 1000000;
    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if ((got < 0 && errno != EINTR) || clock_mono_ns() >= end)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

void worker_child_end(struct worker_child *c, int wait_ms, char *how, size_t bytes)
{
    if (bytes)
        how[0] = 0;
    if (!c->pid)
        return;
    int status = reap(c->pid, wait_ms);
    bool killed = status < 0;
    if (killed) {
        kill(c->pid, SIGKILL);
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    pthread_join(c->reader, NULL); /* the pipe has ended with the child */
    const char *said = c->last_line[0] ? c->last_line : "nothing";
    if (killed)
        snprintf(how, bytes, "it was killed");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        snprintf(how, bytes, "it was killed from outside, by somebody or for want of memory");
    else if (WIFSIGNALED(status))
        snprintf(how, bytes, "signal %d (%s); last it said: %s", WTERMSIG(status), strsignal(WTERMSIG(status)), said);
    else
        snprintf(how, bytes, "exit status %d; last it said: %s", WEXITSTATUS(status), said);
    close_all((int[]){c->socket, c->output}, 2);
    c->pid = 0;
    c->socket = c->output = -1;
}
