/* The lanes and their threads; chain_exchange.c speaks HTTP. */
#include "billing/chain_client.h"

#include "base/clock.h"
#include "billing/chain_exchange.h"
#include "chainlite/settle/crash_points.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "billing"

enum {
    GROUP = 256,             /* items per POST */
    MAX_WAITING = 8192,      /* jobs of one lane */
    FIRST_PAUSE_MS = 20,
    LONGEST_PAUSE_MS = 1000,
    QUERY_THREADS = 2,
    THREADS = 3 + QUERY_THREADS,
};

struct job {
    json_t *item;        /* of all but queries */
    char *method, *path; /* of queries */
    bool bytes;          /* … whose answer is not read here */
    chain_done done;
    void *user;
    struct job *next;
};

enum lane_kind { RESERVE, RECORD, STATEMENT, QUERY, LANES };

struct lane {
    enum lane_kind kind;
    const char *path, *list; /* of the POST; NULL: queries */
    struct job *head, *tail;
    int n;
};

struct chain_client {
    struct chain_config config;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
    struct lane lanes[LANES];
    struct worker_of {
        struct chain_client *client;
        struct lane *lane;
        pthread_t thread;
        struct chain_exchange *exchange;
    } workers[THREADS];
    int n_workers;
};

static bool stopping(struct chain_client *c)
{
    pthread_mutex_lock(&c->lock);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

/* Sleeps in small steps, so that a stop is seen. */
static void pause_ms(struct chain_client *c, int ms)
{
    for (; ms > 0 && !stopping(c); ms -= FIRST_PAUSE_MS)
        nanosleep(&(struct timespec){.tv_nsec = FIRST_PAUSE_MS * 1000000L}, NULL);
}

/* POSTs a body; what is harmless to repeat is repeated while chainlited is away or says 5xx. */
static int post(struct worker_of *w, const struct lane *l, const char *body, int *status, json_t **answer,
                struct err *e)
{
    const int64_t end = clock_mono_ns() + (int64_t)w->client->config.record_s * 1000000000;
    for (int ms = FIRST_PAUSE_MS;; ms = ms * 2 < LONGEST_PAUSE_MS ? ms * 2 : LONGEST_PAUSE_MS) {
        int rc = chain_exchange(w->exchange, "POST", l->path, body, false, status, answer, e);
        if ((rc == 0 && *status < 500) || l->kind == RESERVE)
            return rc;
        if (clock_mono_ns() >= end || stopping(w->client))
            return rc;
        json_decref(*answer);
        *answer = NULL;
        pause_ms(w->client, ms);
    }
}

/* ---- jobs */

static void finish(struct job *j, int rc, int status, const json_t *answer, const struct err *why)
{
    if (j->done)
        j->done(j->user, rc, status, answer, why);
    json_decref(j->item);
    free(j->method);
    free(j->path);
    free(j);
}

static void finish_all(struct job **jobs, int n, int rc, const struct err *why)
{
    for (int i = 0; i < n; i++)
        finish(jobs[i], rc, 0, NULL, why);
}

/* What chainlited says is wrong with a whole POST. */
static int refused(int status, const json_t *answer, struct err *e)
{
    const char *message = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    return err_set(e, OL_EIO, MODULE, "chainlited answered %d: %.160s", status, message ? message : "(no message)");
}

static char *compose(const struct lane *l, struct job **jobs, int n)
{
    json_t *array = json_array(), *body = json_pack("{so}", l->list, array);
    for (int i = 0; i < n; i++)
        if (json_array_append(array, jobs[i]->item) != 0) {
            json_decref(body);
            return NULL;
        }
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

static void post_group(struct worker_of *w, const struct lane *l, struct job **jobs, int n)
{
    struct err e = {0};
    json_t *answer = NULL;
    int status = 0;
    char *body = compose(l, jobs, n);
    int rc = body ? post(w, l, body, &status, &answer, &e) : err_set(&e, OL_ENOMEM, MODULE, "no memory for a request");
    free(body);
    const json_t *results = json_object_get(answer, "results");
    if (rc == 0 && status >= 400 && status < 500 && n > 1) { /* one of them spoils the group: each for itself */
        for (int i = 0; i < n; i++)
            post_group(w, l, &jobs[i], 1);
        json_decref(answer);
        return;
    }
    if (rc == 0 && (status != 200 || json_array_size(results) != (size_t)n))
        rc = refused(status, answer, &e);
    if (rc == 0 && l->kind == RECORD)
        crash_point(billing_recorded);
    if (rc == 0 && l->kind == RESERVE)
        crash_point(billing_reserved);
    for (int i = 0; i < n && rc == 0; i++)
        finish(jobs[i], 0, status, json_array_get(results, (size_t)i), NULL);
    if (rc != 0)
        finish_all(jobs, n, rc, &e);
    json_decref(answer);
}

static void run_group(struct worker_of *w, const struct lane *l, struct job **jobs, int n)
{
    struct err e = {0};
    void *users[GROUP];
    for (int i = 0; i < n; i++)
        users[i] = jobs[i]->user;
    if (l->kind == RECORD && w->client->config.before_record) {
        int rc = w->client->config.before_record(w->client->config.ctx, users, n, &e);
        if (rc != 0) {
            finish_all(jobs, n, rc, &e);
            return;
        }
        crash_point(billing_answer_kept);
    }
    post_group(w, l, jobs, n);
}

static void run_query(struct worker_of *w, struct job *j)
{
    struct err e = {0};
    json_t *answer = NULL;
    int status = 0;
    int rc = chain_exchange(w->exchange, j->method, j->path, NULL, j->bytes, &status, &answer, &e);
    finish(j, rc, status, answer, &e);
    json_decref(answer);
}

static int take(struct lane *l, struct job **jobs, int max)
{
    int n = 0;
    while (n < max && l->head) {
        jobs[n++] = l->head;
        l->head = l->head->next;
        l->n--;
    }
    if (!l->head)
        l->tail = NULL;
    return n;
}

static void *worker_main(void *arg)
{
    struct worker_of *w = arg;
    struct chain_client *c = w->client;
    struct job *jobs[GROUP];
    pthread_setname_np(pthread_self(), "ol-chain");
    for (bool stop = false; !stop;) {
        pthread_mutex_lock(&c->lock);
        while (!w->lane->head && !c->stop)
            pthread_cond_wait(&c->work, &c->lock);
        stop = c->stop;
        int n = take(w->lane, jobs, w->lane->list && !stop ? GROUP : 1);
        pthread_mutex_unlock(&c->lock);
        if (stop && n > 0) {
            const struct err e = {OL_ECANCELLED, MODULE, "the server is shutting down"};
            finish_all(jobs, n, OL_ECANCELLED, &e);
            stop = false; /* until nothing waits */
        } else if (n > 0 && w->lane->list) {
            run_group(w, w->lane, jobs, n);
        } else if (n > 0) {
            run_query(w, jobs[0]);
        }
    }
    return NULL;
}

static int enqueue(struct chain_client *c, enum lane_kind lane, struct job *j, struct err *e)
{
    struct lane *l = &c->lanes[lane];
    pthread_mutex_lock(&c->lock);
    int rc = c->stop              ? err_set(e, OL_ECANCELLED, MODULE, "the server is shutting down")
             : l->n == MAX_WAITING ? err_set(e, OL_EBUSY, MODULE, "%d requests wait for chainlited already", l->n)
                                   : 0;
    if (rc == 0) {
        *(l->tail ? &l->tail->next : &l->head) = j;
        l->tail = j;
        l->n++;
        pthread_cond_broadcast(&c->work);
    }
    pthread_mutex_unlock(&c->lock);
    if (rc != 0) {
        j->done = NULL;
        finish(j, rc, 0, NULL, NULL);
    }
    return rc;
}

static int enqueue_item(struct chain_client *c, enum lane_kind lane, json_t *item, chain_done done, void *user, struct err *e)
{
    struct job *j = item ? malloc(sizeof *j) : NULL;
    if (!j) {
        json_decref(item);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a request to chainlited");
    }
    *j = (struct job){.item = item, .done = done, .user = user};
    return enqueue(c, lane, j, e);
}

int chain_reserve(struct chain_client *c, json_t *item, chain_done done, void *user, struct err *e)
{
    return enqueue_item(c, RESERVE, item, done, user, e);
}

int chain_record(struct chain_client *c, json_t *item, chain_done done, void *user, struct err *e)
{
    return enqueue_item(c, RECORD, item, done, user, e);
}

int chain_statement(struct chain_client *c, json_t *item, chain_done done, void *user, struct err *e)
{
    return enqueue_item(c, STATEMENT, item, done, user, e);
}

static int enqueue_query(struct chain_client *c, const char *method, const char *path, bool bytes, chain_done done,
                         void *user, struct err *e)
{
    struct job *j = malloc(sizeof *j);
    if (!j)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a request to chainlited");
    *j = (struct job){.method = strdup(method), .path = strdup(path), .bytes = bytes, .done = done, .user = user};
    if (j->method && j->path)
        return enqueue(c, QUERY, j, e);
    free(j->method);
    free(j->path);
    free(j);
    return err_set(e, OL_ENOMEM, MODULE, "no memory for a request to chainlited");
}

int chain_query(struct chain_client *c, const char *method, const char *path, chain_done done, void *user,
                struct err *e)
{
    return enqueue_query(c, method, path, false, done, user, e);
}

int chain_query_bytes(struct chain_client *c, const char *path, chain_done done, void *user, struct err *e)
{
    return enqueue_query(c, "GET", path, true, done, user, e);
}

/* ---- life */

int chain_client_open(const struct chain_config *config, struct chain_client **out, struct err *e)
{
    static const enum lane_kind lane_of[THREADS] = {RESERVE, RECORD, STATEMENT, QUERY, QUERY};
    *out = NULL;
    struct chain_client *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for chainlited's client");
    c->config = *config;
    c->config.timeout_ms = config->timeout_ms ? config->timeout_ms : 10000;
    c->config.record_s = config->record_s ? config->record_s : 30;
    c->lanes[RESERVE] = (struct lane){RESERVE, .path = "/v1/reservations", .list = "reservations"};
    c->lanes[RECORD] = (struct lane){RECORD, .path = "/v1/receipts", .list = "receipts"};
    c->lanes[STATEMENT] = (struct lane){STATEMENT, .path = "/v1/statements", .list = "statements"};
    c->lanes[QUERY] = (struct lane){.kind = QUERY};
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    for (int i = 0; i < THREADS; i++) {
        struct worker_of *w = &c->workers[i];
        *w = (struct worker_of){.client = c, .lane = &c->lanes[lane_of[i]],
                                .exchange = chain_exchange_open(config->socket, c->config.timeout_ms)};
        if (!w->exchange || pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            chain_exchange_close(w->exchange);
            chain_client_close(c);
            return err_set(e, OL_ENOMEM, MODULE, "no memory for chainlited's client");
        }
        c->n_workers++;
    }
    *out = c;
    return 0;
}

void chain_client_stop(struct chain_client *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->n_workers; i++) {
        pthread_join(c->workers[i].thread, NULL);
        chain_exchange_close(c->workers[i].exchange);
    }
    c->n_workers = 0;
}

void chain_client_close(struct chain_client *c)
{
    if (!c)
        return;
    chain_client_stop(c);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->work);
    free(c);
}
