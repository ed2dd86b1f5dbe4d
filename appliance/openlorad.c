/* The daemon: configuration, one app, signals. SIGTERM or SIGINT drains; a second one ends at once. */
#include "api/app.h"
#include "api/config.h"
#include "base/log.h"
#include "chainlite/settle/crash_points.h"
#include "engine/worker_main.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Through a second name, so that who waits for the file never reads half of it. */
static int write_port(const char *path, int port, struct err *e)
{
    char draft[4096];
    int n = snprintf(draft, sizeof draft, "%s.tmp", path);
    FILE *f = n > 0 && (size_t)n < sizeof draft ? fopen(draft, "we") : NULL;
    bool ok = f && fprintf(f, "%d\n", port) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok || rename(draft, path) != 0)
        return err_set(e, OL_EIO, "api", "writing the port to %.160s: %s", path, strerror(errno));
    return 0;
}

static void end_at_once(int signal)
{
    (void)signal;
    _exit(EXIT_FAILED);
}

static int serve(const struct config *config, struct err *e)
{
    struct app *app;
    sigset_t signals;
    int got;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* every thread started from here on leaves them to us */
    int rc = app_open(config, &app, e);
    if (rc != 0)
        return rc;
    rc = app_start(app, e);
    if (rc == 0 && config->port_file)
        rc = write_port(config->port_file, app_port(app), e);
    if (rc == 0) {
        fprintf(stderr, "listening on http://127.0.0.1:%d\n", app_port(app));
        sigwait(&signals, &got);
        log_line(LOG_INFO, "api", "%s: finishing what runs; once more to stop at once", strsignal(got));
        signal(SIGTERM, end_at_once);
        signal(SIGINT, end_at_once);
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
        app_drain(app);
    }
    app_close(app);
    return rc;
}

int main(int argc, char **argv)
{
    struct config config;
    struct err e = {0};
    if (worker_wanted(argc, argv)) /* not for people: see engine/worker_process.h */
        return worker_main();
    signal(SIGPIPE, SIG_IGN);
    if (!crash_points_arm()) {
        fprintf(stderr, "openlorad: OPENLORA_CRASH_AT names no crash point\n");
        return EXIT_USAGE;
    }
    int rc = config_load(argc, argv, environ, &config, &e);
    if (rc == 0)
        rc = log_set_level_named(config.log_level, &e);
    int code = rc == 0 ? EXIT_OK : EXIT_USAGE;
    if (rc != 0) {
        fprintf(stderr, "openlorad: %s\n", e.message);
    } else if (config.help) {
        config_help(stdout);
    } else if (config.version) {
        printf("openlorad %s (numerics %s)\n", OPENLORA_VERSION, NUMERICS_ID);
    } else if (config.check) {
        config_print(&config, stdout);
    } else if (serve(&config, &e) != 0) {
        fprintf(stderr, "openlorad: %s\n", e.message);
        code = EXIT_FAILED;
    }
    config_deinit(&config);
    return code;
}
