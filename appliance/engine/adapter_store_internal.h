/* What the engine needs of the adapter store beyond its public face, and the store's own structures.
 *
 * Two tables: names (what clients say) and versions (struct adapter: content that was or will be read from a path).
 * A name points to one version; a version is freed with its last reference. References: one for the name that
 * points to it, one per request, one while a load is queued or running.
 *
 * Host images come and go: the loader thread reads those that are wanted (adapter_want), images nobody wants are
 * dropped when the budget is exceeded. A version that was read once keeps its hash: if its files have changed when
 * they are read again, the load fails rather than serve something else under the same version. */
#ifndef OPENLORA_ENGINE_ADAPTER_STORE_INTERNAL_H
#define OPENLORA_ENGINE_ADAPTER_STORE_INTERNAL_H

#include "engine/adapter_store.h"
#include "engine/residency.h"

#include <pthread.h>
#include <stdatomic.h>

enum image_state { IMAGE_ABSENT, IMAGE_LOADING, IMAGE_READY, IMAGE_FAILED };

struct adapter {
    struct residency residency; /* the engine thread's own */
    struct adapter_store *store;
    char *path;                 /* owned, as given; resolved again at each read */
    char name[ADAPTER_NAME_BYTES];

    /* Guarded by the store's mutex. */
    int32_t refs;
    int32_t requests_now;
    int32_t wants;              /* holders that need the host image */
    bool pinned, revoked, in_pages;
    enum image_state state;
    struct adapter_image image; /* .pages NULL unless READY; the rest stays valid once read */
    struct err why;             /* of the last failed read */
    double load_s, last_used_s;
    struct adapter *next_load;  /* loader's queue */
    struct adapter *next_retired;
    struct adapter *next_host, *prev_host; /* versions with an image in host memory */
};

struct adapter_entry { /* a name */
    char name[ADAPTER_NAME_BYTES];
    struct adapter *version;
    uint64_t requests;
    char error[ERR_MESSAGE_BYTES];
    struct adapter_entry *next; /* of its bucket */
};

/* Reads an adapter; adapter_file_load, or a test's own. */
struct adapter_reader {
    int (*load)(void *ctx, const char *path, const struct model_config *, size_t page_bytes, struct adapter_image *,
                struct err *);
    void *ctx;
};

struct adapter_store {
    const struct model_config *model; /* borrowed */
    size_t page_bytes, host_budget_bytes;
    char **roots;                     /* (n_roots) owned, resolved */
    int n_roots;
    struct adapter_reader reader;

    pthread_mutex_t mutex;            /* guards everything below */
    struct adapter_entry **buckets;   /* (n_buckets) */
    uint32_t n_buckets;
    int32_t n_entries;
    size_t host_bytes;
    struct adapter *host;             /* versions with an image */
    struct adapter *load_head, *load_tail;
    struct adapter *retired;          /* unreferenced versions whose pages the engine must give back */
    uint64_t loads;
    bool closing;
    pthread_cond_t work;              /* loader: something to read, or room to read it */
    pthread_cond_t loaded;            /* a reading has ended, or the store is closing */
    pthread_t loader;
    bool loader_running;
    void (*wake)(void *);
    void *wake_ctx;
    atomic_uint_fast64_t events;      /* grows when the engine should look at its adapters again */
};

int adapter_store_open_with(const struct adapter_store_config *, const struct adapter_reader *,
                            struct adapter_store **out, struct err *e) __attribute__((warn_unused_result));

/* ---- For the engine ---- */

/* wake is called, with the store's lock held, after every event: it may only set a flag and signal. */
void adapter_store_set_wake(struct adapter_store *, void (*wake)(void *), void *ctx);
uint64_t adapter_store_events(struct adapter_store *);
uint64_t adapter_store_loads(struct adapter_store *); /* reads from disk that succeeded */

/* Asks for the host image and keeps it there until adapter_unwant. */
void adapter_want(struct adapter *);
void adapter_unwant(struct adapter *);
/* State of the image; READY: *image is valid until unwant, and *reload_s the measured cost of reading it;
 * FAILED: *why says why. */
enum image_state adapter_poll(struct adapter *, const struct adapter_image **image, double *reload_s, struct err *why);
bool adapter_is_revoked(struct adapter *); /* unloaded by force: cancel what runs on it */
bool adapter_is_pinned(struct adapter *);
void adapter_set_in_pages(struct adapter *, bool);
/* An unreferenced version that still has pages: give them back, then adapter_retire. NULL when there is none. */
struct adapter *adapter_store_take_retired(struct adapter_store *);
void adapter_retire(struct adapter *);

/* ---- Between the store's files ---- */

int adapter_path_confine(const struct adapter_store *, const char *path, struct err *e);
int adapter_name_check(const char *name, struct err *e);
int adapter_read(struct adapter *, struct adapter_image *, double *load_s, struct err *e); /* no lock held */
/* Records what adapter_read gave: rc, and the image (taken) or the reason. Returns the final rc. Lock held. */
int adapter_finish_load(struct adapter *, int rc, struct adapter_image *, double load_s, const struct err *why);
void adapter_unref_locked(struct adapter *); /* lock held */
int adapter_loader_start(struct adapter_store *, struct err *e);
void adapter_loader_stop(struct adapter_store *);
void adapter_store_notify(struct adapter_store *); /* lock held */

#endif
