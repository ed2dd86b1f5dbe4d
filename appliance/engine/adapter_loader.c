/* Host images of adapters: the background loader and the budget. */
#include "engine/adapter_store_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static size_t image_bytes(const struct adapter_image *i) { return (size_t)i->n_pages * i->page_bytes; }

void adapter_store_notify(struct adapter_store *s)
{
    atomic_fetch_add(&s->events, 1);
    if (s->wake)
        s->wake(s->wake_ctx);
}

int adapter_read(struct adapter *a, struct adapter_image *image, double *load_s, struct err *e)
{
    struct adapter_store *s = a->store;
    double start_s = clock_mono_s();
    *image = (struct adapter_image){0};
    int rc = adapter_path_confine(s, a->path, e); /* again: links may have changed since it was registered */
    if (!rc)
        rc = s->reader.load(s->reader.ctx, a->path, s->model, s->page_bytes, image, e);
    *load_s = clock_mono_s() - start_s;
    return rc;
}

static void drop_image(struct adapter *a)
{
    struct adapter_store *s = a->store;
    s->host_bytes -= image_bytes(&a->image);
    *(a->prev_host ? &a->prev_host->next_host : &s->host) = a->next_host;
    if (a->next_host)
        a->next_host->prev_host = a->prev_host;
    a->next_host = a->prev_host = NULL;
    free(a->image.pages);
    a->image.pages = NULL;
    a->state = IMAGE_ABSENT;
}

/* Drops the images that are cheapest to read again, weighed by how long they lay unused, until the budget holds or
 * nothing more can go. True when it holds. */
static bool fit_budget(struct adapter_store *s)
{
    double now_s = clock_mono_s();
    while (s->host_bytes > s->host_budget_bytes) {
        struct adapter *best = NULL;
        double best_value = 0;
        for (struct adapter *a = s->host; a; a = a->next_host) {
            double value = residency_value(a->load_s, now_s - a->last_used_s);
            if (!a->wants && !a->pinned && (!best || value < best_value)) {
                best = a;
                best_value = value;
            }
        }
        if (!best)
            return false;
        drop_image(best);
    }
    return true;
}

static void install_image(struct adapter *a, struct adapter_image *image, double load_s)
{
    struct adapter_store *s = a->store;
    a->image = *image;
    a->state = IMAGE_READY;
    a->load_s = load_s;
    a->last_used_s = clock_mono_s();
    a->next_host = s->host;
    if (s->host)
        s->host->prev_host = a;
    s->host = a;
    s->host_bytes += image_bytes(image);
    s->loads++;
    a->wants++; /* whatever has to go, not the image that just came */
    fit_budget(s);
    a->wants--;
}

void adapter_unref_locked(struct adapter *a)
{
    struct adapter_store *s = a->store;
    if (--a->refs)
        return;
    if (a->state == IMAGE_READY)
        drop_image(a);
    if (a->in_pages && !s->closing) {
        a->next_retired = s->retired;
        s->retired = a;
        adapter_store_notify(s);
        return;
    }
    adapter_retire(a);
}

void adapter_retire(struct adapter *a)
{
    CHECK(!a->image.pages);
    free(a->residency.pages);
    free(a->path);
    free(a);
}

static void enqueue(struct adapter *a)
{
    struct adapter_store *s = a->store;
    a->state = IMAGE_LOADING;
    a->refs++;
    a->next_load = NULL;
    *(s->load_tail ? &s->load_tail->next_load : &s->load_head) = a;
    s->load_tail = a;
    pthread_cond_signal(&s->work);
}

void adapter_want(struct adapter *a)
{
    struct adapter_store *s = a->store;
    pthread_mutex_lock(&s->mutex);
    a->wants++;
    a->last_used_s = clock_mono_s();
    if (a->state == IMAGE_ABSENT || a->state == IMAGE_FAILED)
        enqueue(a);
    pthread_mutex_unlock(&s->mutex);
}

void adapter_unwant(struct adapter *a)
{
    struct adapter_store *s = a->store;
    pthread_mutex_lock(&s->mutex);
    CHECK(a->wants > 0);
    if (--a->wants == 0) {
        a->last_used_s = clock_mono_s();
        fit_budget(s);
        pthread_cond_signal(&s->work); /* the loader may be waiting for room */
    }
    pthread_mutex_unlock(&s->mutex);
}

enum image_state adapter_poll(struct adapter *a, const struct adapter_image **image, double *reload_s, struct err *why)
{
    pthread_mutex_lock(&a->store->mutex);
    enum image_state state = a->state;
    *image = &a->image;
    *reload_s = a->load_s;
    if (state == IMAGE_FAILED)
        *why = a->why;
    pthread_mutex_unlock(&a->store->mutex);
    return state;
}

int adapter_finish_load(struct adapter *a, int rc, struct adapter_image *image, double load_s, const struct err *why)
{
    struct err e = *why;
    if (!rc && a->image.hash[0] && strcmp(a->image.hash, image->hash) != 0) {
        adapter_image_deinit(image);
        rc = err_set(&e, OL_EFORMAT, "adapter", "files of adapter '%s' changed since they were loaded; load it again",
                     a->name);
    }
    if (!rc && !a->residency.pages) {
        a->residency.pages = calloc((size_t)image->n_pages, sizeof *a->residency.pages);
        if (!a->residency.pages) {
            adapter_image_deinit(image);
            rc = err_set(&e, OL_ENOMEM, "adapter", "no memory for adapter '%s'", a->name);
        }
    }
    if (rc) {
        a->state = IMAGE_FAILED;
        a->why = e;
        return rc;
    }
    install_image(a, image, load_s);
    return 0;
}

static void *loader_main(void *arg)
{
    struct adapter_store *s = arg;
    pthread_setname_np(pthread_self(), "ol-adapters");
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        /* Over the budget with images that are all wanted: wait until one was uploaded or given up. */
        while (!s->closing && (!s->load_head || !fit_budget(s)))
            pthread_cond_wait(&s->work, &s->mutex);
        if (s->closing)
            break;
        struct adapter *a = s->load_head;
        s->load_head = a->next_load;
        if (!s->load_head)
            s->load_tail = NULL;
        if (!a->wants) { /* given up meanwhile */
            a->state = IMAGE_ABSENT;
        } else {
            struct adapter_image image;
            struct err e = {0};
            double load_s;
            pthread_mutex_unlock(&s->mutex);
            int rc = adapter_read(a, &image, &load_s, &e);
            pthread_mutex_lock(&s->mutex);
            (void)adapter_finish_load(a, rc, &image, load_s, &e);
            pthread_cond_broadcast(&s->loaded);
            adapter_store_notify(s);
        }
        adapter_unref_locked(a);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

int adapter_loader_start(struct adapter_store *s, struct err *e)
{
    if (pthread_create(&s->loader, NULL, loader_main, s) != 0)
        return err_set(e, OL_ENOMEM, "adapter", "cannot start the adapter loader thread");
    s->loader_running = true;
    return 0;
}

void adapter_loader_stop(struct adapter_store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->closing = true;
    pthread_cond_signal(&s->work);
    pthread_cond_broadcast(&s->loaded);
    pthread_mutex_unlock(&s->mutex);
    if (s->loader_running)
        pthread_join(s->loader, NULL);
    s->loader_running = false;
    while (s->load_head) { /* never read: give the queue's references back */
        struct adapter *a = s->load_head;
        s->load_head = a->next_load;
        a->state = IMAGE_ABSENT;
        adapter_unref_locked(a);
    }
    s->load_tail = NULL;
}
