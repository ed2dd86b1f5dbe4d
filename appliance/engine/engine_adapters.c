/* Keeps the store's host images and the scheduler's pages in step, on the engine's thread: an image is held while
 * a sequence waits for it, uploaded when the scheduler places it, and let go once it is in pages. */
#include "engine/engine_internal.h"

static struct adapter *adapter_of(struct residency *r) { return (struct adapter *)(void *)r; } /* its first member */

/* Looks whether an image that is held has arrived. */
static enum image_state look_for_image(struct residency *r, struct err *why)
{
    const struct adapter_image *image;
    double reload_s;
    enum image_state state = adapter_poll(adapter_of(r), &image, &reload_s, why);
    if (state == IMAGE_READY) {
        r->ready = true;
        r->n_pages = image->n_pages;
        r->hash = image->hash;
        r->reload_s = reload_s;
    }
    return state;
}

void engine_sync_adapters(struct engine *e)
{
    struct residency *r;
    while ((r = residency_take_changed(&e->sched.adapters))) {
        struct adapter *a = adapter_of(r);
        bool want = r->n_waiting > 0 && !r->resident;
        r->pinned = adapter_is_pinned(a);
        if (want && !r->held) {
            struct err ignored;
            adapter_want(a);
            r->held = true;
            look_for_image(r, &ignored); /* in host memory already, perhaps */
        } else if (!want && r->held) {
            r->held = r->ready = false;
            adapter_unwant(a);
        }
        /* Last: once out of the pages and without references, any thread may free it. */
        adapter_set_in_pages(a, r->resident);
    }
}

/* The adapter's size is known: cut the sequence to what the pool holds beside it. False if it never fits. */
static bool cut(const struct engine *e, struct sequence *q, struct err *why)
{
    int32_t most = scheduler_max_total(&e->sched.config, q->residency->n_pages);
    if (q->n_tokens >= most) {
        err_set(why, OL_ELIMIT, "engine", "adapter '%s' (%d pages) and %d tokens do not fit the pool of %d pages",
                q->adapter->name, (int)q->residency->n_pages, (int)q->n_tokens, (int)e->sched.pool.n_pages);
        return false;
    }
    if (q->max_total > most)
        q->max_total = most;
    return true;
}

void engine_settle(struct engine *e, struct sequence *q)
{
    struct residency *r = q->residency;
    struct err why = {0};
    if (!r)
        return;
    if (adapter_is_revoked(q->adapter))
        engine_end(e, q, END_CANCELLED, NULL);
    else if (q->state == SEQ_WAITING && !r->resident && !r->ready && look_for_image(r, &why) == IMAGE_FAILED)
        engine_end(e, q, END_ERROR, &why);
    else if (q->state == SEQ_WAITING && (r->resident || r->ready) && !cut(e, q, &why))
        engine_end(e, q, END_ERROR, &why);
}

void engine_refresh_adapters(struct engine *e)
{
    for (struct sequence *q = e->live, *next; q; q = next) {
        next = q->next_live;
        engine_settle(e, q);
    }
    for (struct residency *r = e->sched.adapters.head; r; r = r->next)
        r->pinned = adapter_is_pinned(adapter_of(r));
    struct adapter *a;
    while ((a = adapter_store_take_retired(e->adapters))) {
        if (a->residency.resident)
            residency_drop(&e->sched.adapters, &a->residency);
        engine_sync_adapters(e); /* takes it off the changed list before it is freed */
        adapter_retire(a);
    }
}

int engine_upload_adapters(struct engine *e, const struct plan *p, struct err *err)
{
    for (int32_t i = 0; i < p->n_uploads; i++) {
        struct residency *r = p->uploads[i];
        const struct adapter_image *image;
        double reload_s;
        struct err why;
        CHECK(r->held && adapter_poll(adapter_of(r), &image, &reload_s, &why) == IMAGE_READY);
        for (int32_t k = 0; k < r->n_pages; k++) {
            int rc = e->backend.upload(e->backend.ctx, r->pages[k], image->pages + (size_t)k * image->page_bytes,
                                       image->page_bytes, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}
