/* Named LoRA adapters: thousands registered, fewer in host memory, fewer still in pool pages.
 *
 * A name points to a version (content hash); versions are immutable and reference-counted, and the name is swapped
 * atomically by a load with replace. Loading reads and checks the files on a background thread; a load that fails
 * leaves the old version serving. Unload: new requests get OL_ENOTFOUND at once, running ones finish, and pages and
 * host memory go with the last reference. Host images above the host budget are dropped by reload cost × recency
 * (pinned ones and those that a request waits for stay) and read again when wanted.
 * All functions are safe from any thread. */
#ifndef OPENLORA_ENGINE_ADAPTER_STORE_H
#define OPENLORA_ENGINE_ADAPTER_STORE_H

#include "base/err.h"
#include "model/adapter_file.h"

#include <stdbool.h>
#include <stdint.h>

enum { ADAPTER_NAME_BYTES = 128 };

struct adapter_store;
struct adapter; /* one version; see adapter_acquire */

struct adapter_store_config {
    const struct model_config *model; /* borrowed, outlives the store */
    size_t page_bytes;
    size_t host_bytes;                /* budget for host images */
    const char *const *roots;         /* paths given to adapter_load must lie below one of these (after realpath) */
    int n_roots;
};

struct adapter_info {
    char name[ADAPTER_NAME_BYTES];
    char path[512];
    char hash[65];        /* empty until first read */
    char error[ERR_MESSAGE_BYTES]; /* last failed load, or empty */
    int32_t rank;
    int64_t parameters;
    size_t bytes;
    bool in_host, in_pages, pinned, loading;
    int32_t references;   /* requests using it now */
    uint64_t requests;    /* since registered */
    double load_s;        /* last read from disk */
};

int adapter_store_open(const struct adapter_store_config *, struct adapter_store **out, struct err *e)
    __attribute__((warn_unused_result));
void adapter_store_close(struct adapter_store *);

/* Registers a name without reading its files (they are read at first use). path must lie below a root. */
int adapter_register(struct adapter_store *, const char *name, const char *path, bool pinned, struct err *e);
/* Reads and checks the files now (blocking the caller only), then points the name to them. Without `replace` an
 * existing name is OL_EEXIST. On failure nothing changes. */
int adapter_load(struct adapter_store *, const char *name, const char *path, bool replace, bool pinned, struct err *e);
/* force: running requests are cancelled (END_CANCELLED) */
int adapter_unload(struct adapter_store *, const char *name, bool force, struct err *e);
int adapter_pin(struct adapter_store *, const char *name, bool pinned, struct err *e);

int adapter_store_count(struct adapter_store *);
/* Copies up to max infos sorted by name, starting at index `from`; returns how many. */
int adapter_store_list(struct adapter_store *, int from, struct adapter_info *out, int max);
bool adapter_store_info(struct adapter_store *, const char *name, struct adapter_info *out);

/* Takes a reference on the current version of a name. OL_ENOTFOUND for unknown names. Give it back with
 * adapter_release, or hand it to engine_submit, which takes it over. */
int adapter_acquire(struct adapter_store *, const char *name, struct adapter **out, struct err *e);
void adapter_release(struct adapter *);
/* One more reference on the same version, whatever its name points to meanwhile. */
struct adapter *adapter_ref(struct adapter *);
/* The version's content hash; empty until it was read once. */
void adapter_hash(struct adapter *, char out[65]);
/* Waits until it was read once; the reason when it cannot be. Never on the engine's thread. */
int adapter_identify(struct adapter *, struct err *e) __attribute__((warn_unused_result));

#endif
