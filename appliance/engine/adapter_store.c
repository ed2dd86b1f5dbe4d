/* The adapter store's names: registering, loading, unloading, acquiring, listing. */
#include "engine/adapter_store_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t name_hash(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h ^ (h >> 15);
}

static struct adapter_entry **find_link(struct adapter_store *s, const char *name)
{
    struct adapter_entry **link = &s->buckets[name_hash(name) & (s->n_buckets - 1)];
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static void grow_buckets(struct adapter_store *s)
{
    uint32_t n = s->n_buckets * 2;
    struct adapter_entry **buckets = calloc(n, sizeof *buckets);
    if (!buckets)
        return; /* longer chains, nothing worse */
    for (uint32_t i = 0; i < s->n_buckets; i++)
        for (struct adapter_entry *entry = s->buckets[i], *next; entry; entry = next) {
            struct adapter_entry **head = &buckets[name_hash(entry->name) & (n - 1)];
            next = entry->next;
            entry->next = *head;
            *head = entry;
        }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

static int read_file(void *ctx, const char *path, const struct model_config *model, size_t page_bytes,
                     struct adapter_image *out, struct err *e)
{
    (void)ctx;
    return adapter_file_load(path, model, page_bytes, out, e);
}

static int resolve_roots(struct adapter_store *s, const struct adapter_store_config *c, struct err *e)
{
    s->roots = calloc((size_t)c->n_roots + 1, sizeof *s->roots);
    if (!s->roots)
        return err_set(e, OL_ENOMEM, "adapter", "no memory for %d adapter folders", c->n_roots);
    for (int i = 0; i < c->n_roots; i++) {
        char *real = realpath(c->roots[i], NULL);
        if (!real)
            return err_set(e, OL_ENOTFOUND, "adapter", "cannot use adapter folder '%.160s': %s", c->roots[i],
                           strerror(errno));
        s->roots[s->n_roots++] = real;
    }
    return 0;
}

int adapter_store_open_with(const struct adapter_store_config *c, const struct adapter_reader *reader,
                            struct adapter_store **out, struct err *e)
{
    *out = NULL;
    struct adapter_store *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, "adapter", "no memory for the adapter store");
    s->model = c->model;
    s->page_bytes = c->page_bytes;
    s->host_budget_bytes = c->host_bytes;
    s->reader = *reader;
    s->n_buckets = 64;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->loaded, NULL);
    s->buckets = calloc(s->n_buckets, sizeof *s->buckets);
    int rc = s->buckets ? resolve_roots(s, c, e) : err_set(e, OL_ENOMEM, "adapter", "no memory for the adapter store");
    if (!rc)
        rc = adapter_loader_start(s, e);
    if (rc) {
        adapter_store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int adapter_store_open(const struct adapter_store_config *c, struct adapter_store **out, struct err *e)
{
    return adapter_store_open_with(c, &(struct adapter_reader){.load = read_file}, out, e);
}

static void free_entry(struct adapter_entry *entry)
{
    adapter_unref_locked(entry->version);
    free(entry);
}

void adapter_store_close(struct adapter_store *s)
{
    if (!s)
        return;
    adapter_loader_stop(s);
    for (uint32_t i = 0; s->buckets && i < s->n_buckets; i++)
        for (struct adapter_entry *entry = s->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free_entry(entry);
        }
    while (s->retired) {
        struct adapter *a = s->retired;
        s->retired = a->next_retired;
        adapter_retire(a);
    }
    for (int i = 0; i < s->n_roots; i++)
        free(s->roots[i]);
    free(s->roots);
    free(s->buckets);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->loaded);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* ---- Names ---- */

/* A version nothing refers to yet but the caller. */
static int new_version(struct adapter_store *s, const char *name, const char *path, bool pinned, struct adapter **out,
                       struct err *e)
{
    struct adapter *a = calloc(1, sizeof *a);
    char *copy = strdup(path);
    if (!a || !copy) {
        free(a);
        free(copy);
        return err_set(e, OL_ENOMEM, "adapter", "no memory for adapter '%s'", name);
    }
    a->store = s;
    a->path = copy;
    a->refs = 1;
    a->pinned = pinned;
    memcpy(a->name, name, strlen(name));
    *out = a;
    return 0;
}

static int check(const struct adapter_store *s, const char *name, const char *path, struct err *e)
{
    int rc = adapter_name_check(name, e);
    return rc ? rc : adapter_path_confine(s, path, e);
}

/* Points the name to the version and takes the caller's reference. The lock is held. */
static int point_name(struct adapter_store *s, struct adapter *a, bool replace, struct err *e)
{
    struct adapter_entry **link = find_link(s, a->name), *entry = *link;
    if (entry && !replace)
        return err_set(e, OL_EEXIST, "adapter", "adapter '%s' exists already", a->name);
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return err_set(e, OL_ENOMEM, "adapter", "no memory for adapter '%s'", a->name);
        memcpy(entry->name, a->name, sizeof entry->name);
        *link = entry;
        if ((uint32_t)++s->n_entries > s->n_buckets)
            grow_buckets(s);
    } else {
        adapter_unref_locked(entry->version);
    }
    entry->version = a;
    entry->error[0] = 0;
    adapter_store_notify(s);
    return 0;
}

int adapter_register(struct adapter_store *s, const char *name, const char *path, bool pinned, struct err *e)
{
    struct adapter *a = NULL;
    int rc = check(s, name, path, e);
    if (!rc)
        rc = new_version(s, name, path, pinned, &a, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->mutex);
    rc = point_name(s, a, false, e);
    if (rc)
        adapter_unref_locked(a);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

int adapter_load(struct adapter_store *s, const char *name, const char *path, bool replace, bool pinned, struct err *e)
{
    struct adapter *a = NULL;
    int rc = check(s, name, path, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->mutex);
    bool exists = *find_link(s, name) != NULL;
    pthread_mutex_unlock(&s->mutex);
    if (exists && !replace)
        return err_set(e, OL_EEXIST, "adapter", "adapter '%s' exists already", name);
    rc = new_version(s, name, path, pinned, &a, e);
    if (rc)
        return rc;
    struct adapter_image image;
    struct err why = {0};
    double load_s;
    rc = adapter_read(a, &image, &load_s, &why);
    pthread_mutex_lock(&s->mutex);
    rc = adapter_finish_load(a, rc, &image, load_s, &why);
    if (!rc) {
        rc = point_name(s, a, replace, e);
    } else {
        struct adapter_entry *entry = *find_link(s, name);
        if (entry) /* the old version goes on serving; its name remembers why it was not replaced */
            memcpy(entry->error, a->why.message, sizeof entry->error);
        rc = err_set(e, rc, "adapter", "%s", a->why.message);
    }
    if (rc)
        adapter_unref_locked(a);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int unknown(const char *name, struct err *e)
{
    return err_set(e, OL_ENOTFOUND, "adapter", "there is no adapter '%.127s'", name);
}

int adapter_unload(struct adapter_store *s, const char *name, bool force, struct err *e)
{
    pthread_mutex_lock(&s->mutex);
    struct adapter_entry **link = find_link(s, name), *entry = *link;
    if (entry) {
        *link = entry->next;
        s->n_entries--;
        entry->version->revoked = force;
        free_entry(entry);
        adapter_store_notify(s);
    }
    pthread_mutex_unlock(&s->mutex);
    return entry ? 0 : unknown(name, e);
}

int adapter_pin(struct adapter_store *s, const char *name, bool pinned, struct err *e)
{
    pthread_mutex_lock(&s->mutex);
    struct adapter_entry *entry = *find_link(s, name);
    if (entry) {
        entry->version->pinned = pinned;
        adapter_store_notify(s);
    }
    pthread_mutex_unlock(&s->mutex);
    return entry ? 0 : unknown(name, e);
}

int adapter_acquire(struct adapter_store *s, const char *name, struct adapter **out, struct err *e)
{
    *out = NULL;
    pthread_mutex_lock(&s->mutex);
    struct adapter_entry *entry = *find_link(s, name);
    if (entry) {
        entry->requests++;
        *out = entry->version;
        (*out)->refs++;
        (*out)->requests_now++;
    }
    pthread_mutex_unlock(&s->mutex);
    return entry ? 0 : unknown(name, e);
}

void adapter_release(struct adapter *a)
{
    if (!a)
        return;
    struct adapter_store *s = a->store;
    pthread_mutex_lock(&s->mutex);
    a->requests_now--;
    adapter_unref_locked(a);
    pthread_mutex_unlock(&s->mutex);
}

struct adapter *adapter_ref(struct adapter *a)
{
    pthread_mutex_lock(&a->store->mutex);
    a->refs++;
    a->requests_now++;
    pthread_mutex_unlock(&a->store->mutex);
    return a;
}

void adapter_hash(struct adapter *a, char out[65])
{
    pthread_mutex_lock(&a->store->mutex);
    snprintf(out, 65, "%s", a->image.hash);
    pthread_mutex_unlock(&a->store->mutex);
}

int adapter_identify(struct adapter *a, struct err *e)
{
    struct adapter_store *s = a->store;
    int rc = 0;
    adapter_want(a);
    pthread_mutex_lock(&s->mutex);
    while (!a->image.hash[0] && a->state != IMAGE_FAILED && !s->closing)
        pthread_cond_wait(&s->loaded, &s->mutex);
    if (!a->image.hash[0])
        rc = s->closing ? err_set(e, OL_ECANCELLED, "adapter", "the server is shutting down")
                        : err_set(e, a->why.code, "adapter", "%s", a->why.message);
    pthread_mutex_unlock(&s->mutex);
    adapter_unwant(a);
    return rc;
}

/* ---- Listing ---- */

static void fill_info(const struct adapter_entry *entry, struct adapter_info *out)
{
    const struct adapter *a = entry->version;
    *out = (struct adapter_info){
        .rank = a->image.max_rank, .parameters = a->image.parameters, .bytes = a->image.bytes,
        .in_host = a->state == IMAGE_READY, .in_pages = a->in_pages, .pinned = a->pinned,
        .loading = a->state == IMAGE_LOADING, .references = a->requests_now, .requests = entry->requests,
        .load_s = a->load_s,
    };
    snprintf(out->name, sizeof out->name, "%s", entry->name);
    snprintf(out->path, sizeof out->path, "%s", a->path);
    snprintf(out->hash, sizeof out->hash, "%s", a->image.hash);
    snprintf(out->error, sizeof out->error, "%s", a->state == IMAGE_FAILED ? a->why.message : entry->error);
}

int adapter_store_count(struct adapter_store *s)
{
    pthread_mutex_lock(&s->mutex);
    int n = s->n_entries;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct adapter_entry *const *)a)->name, (*(struct adapter_entry *const *)b)->name);
}

int adapter_store_list(struct adapter_store *s, int from, struct adapter_info *out, int max)
{
    int n = 0, copied = 0;
    pthread_mutex_lock(&s->mutex);
    struct adapter_entry **all = malloc(((size_t)s->n_entries + 1) * sizeof *all);
    for (uint32_t i = 0; all && i < s->n_buckets; i++)
        for (struct adapter_entry *entry = s->buckets[i]; entry; entry = entry->next)
            all[n++] = entry;
    if (n)
        qsort(all, (size_t)n, sizeof *all, by_name);
    for (int i = from < 0 ? 0 : from; i < n && copied < max; i++)
        fill_info(all[i], &out[copied++]);
    free(all);
    pthread_mutex_unlock(&s->mutex);
    return copied;
}

bool adapter_store_info(struct adapter_store *s, const char *name, struct adapter_info *out)
{
    pthread_mutex_lock(&s->mutex);
    struct adapter_entry *entry = *find_link(s, name);
    if (entry)
        fill_info(entry, out);
    pthread_mutex_unlock(&s->mutex);
    return entry != NULL;
}

/* ---- For the engine ---- */

void adapter_store_set_wake(struct adapter_store *s, void (*wake)(void *), void *ctx)
{
    pthread_mutex_lock(&s->mutex);
    s->wake = wake;
    s->wake_ctx = ctx;
    pthread_mutex_unlock(&s->mutex);
}

uint64_t adapter_store_events(struct adapter_store *s) { return atomic_load(&s->events); }

uint64_t adapter_store_loads(struct adapter_store *s)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t n = s->loads;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static bool read_flag(struct adapter *a, const bool *flag)
{
    pthread_mutex_lock(&a->store->mutex);
    bool value = *flag;
    pthread_mutex_unlock(&a->store->mutex);
    return value;
}

bool adapter_is_revoked(struct adapter *a) { return read_flag(a, &a->revoked); }
bool adapter_is_pinned(struct adapter *a) { return read_flag(a, &a->pinned); }

void adapter_set_in_pages(struct adapter *a, bool in_pages)
{
    struct adapter_store *s = a->store; /* out of the pages, another thread's release may free the version */
    pthread_mutex_lock(&s->mutex);
    a->in_pages = in_pages;
    pthread_mutex_unlock(&s->mutex);
}

struct adapter *adapter_store_take_retired(struct adapter_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct adapter *a = s->retired;
    if (a)
        s->retired = a->next_retired;
    pthread_mutex_unlock(&s->mutex);
    return a;
}
