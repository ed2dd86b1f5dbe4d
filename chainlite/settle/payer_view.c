#include "chainlite/settle/payer_view.h"

#include "base/clock.h"
#include "chainlite/settle/idmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "payer_view"

enum { HEAD_KEPT_MS = 1000, RETRY_MS = 2000, MAX_ACCOUNTS = 65536, MAX_FACTS = 65536 };

struct known_account { /* in idmap by payer */
    uint8_t payer[ADDRESS_BYTES];
    struct escrow_account account; /* age_ms unused */
    int64_t read_at_ns, tried_at_ns;
};

struct fact { /* something that is true once proven; in idmap by its slot */
    uint8_t slot[32];
};

struct payer_view {
    struct payer_view_config config;
    struct rpc *rpc;
    struct light *light;
    pthread_mutex_t asking; /* who holds it may use rpc and light */
    pthread_mutex_t lock;   /* guards the rest; taken after `asking` */
    struct light_head head;
    bool has_head;
    int64_t head_at_ns;
    struct idmap accounts, facts;
};

int payer_view_open(const struct payer_view_config *config, struct payer_view **out, struct err *e)
{
    *out = NULL;
    struct payer_view *v = calloc(1, sizeof *v);
    if (!v)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the view of the chain");
    v->config = *config;
    idmap_init(&v->accounts, ADDRESS_BYTES, (uint64_t)clock_mono_ns());
    idmap_init(&v->facts, 32, (uint64_t)clock_mono_ns());
    pthread_mutex_init(&v->asking, NULL);
    pthread_mutex_init(&v->lock, NULL);
    int rc = rpc_open(config->rpc, &v->rpc, e);
    if (rc == 0)
        rc = light_open(v->rpc, &v->light, e);
    if (rc != 0) {
        payer_view_close(v);
        return rc;
    }
    *out = v;
    return 0;
}

void payer_view_cancel(struct payer_view *v) { rpc_cancel(v->rpc); }

void payer_view_close(struct payer_view *v)
{
    if (!v)
        return;
    if (v->light)
        light_close(v->light);
    if (v->rpc)
        rpc_close(v->rpc);
    idmap_deinit(&v->accounts);
    idmap_deinit(&v->facts);
    pthread_mutex_destroy(&v->asking);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

static bool younger(int64_t at_ns, int64_t ms) { return at_ns != 0 && clock_mono_ns() - at_ns < ms * 1000000; }

/* A head read at most kept_ms ago; with `asking` held. */
static int fresh_head(struct payer_view *v, int64_t kept_ms, struct light_head *out, struct err *e)
{
    pthread_mutex_lock(&v->lock);
    bool fresh = v->has_head && younger(v->head_at_ns, kept_ms);
    *out = v->head;
    pthread_mutex_unlock(&v->lock);
    if (fresh)
        return 0;
    int rc = light_head(v->light, LIGHT_LATEST, out, e);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&v->lock);
    v->head = *out;
    v->has_head = true;
    v->head_at_ns = clock_mono_ns();
    pthread_mutex_unlock(&v->lock);
    return 0;
}

/* ---- accounts */

/* What is known, with its age. */
static bool known(struct payer_view *v, const uint8_t *payer, struct escrow_account *out, int64_t *tried_at_ns)
{
    pthread_mutex_lock(&v->lock);
    const struct known_account *k = idmap_find(&v->accounts, payer);
    bool there = k && k->read_at_ns != 0;
    *tried_at_ns = k ? k->tried_at_ns : 0;
    if (there) {
        *out = k->account;
        out->age_ms = (clock_mono_ns() - k->read_at_ns) / 1000000;
    }
    pthread_mutex_unlock(&v->lock);
    return there;
}

static bool all(void *user, void *object)
{
    (void)user, (void)object;
    return true;
}

/* account NULL: it was tried in vain. */
static void remember(struct payer_view *v, const uint8_t *payer, const struct escrow_account *account)
{
    pthread_mutex_lock(&v->lock);
    struct known_account *k = idmap_find(&v->accounts, payer);
    if (!k) {
        if (v->accounts.n >= MAX_ACCOUNTS)
            idmap_filter(&v->accounts, all, NULL);
        k = calloc(1, sizeof *k);
        if (k)
            memcpy(k->payer, payer, ADDRESS_BYTES);
        if (k && !idmap_add(&v->accounts, k)) {
            free(k);
            k = NULL;
        }
    }
    if (k) {
        k->tried_at_ns = clock_mono_ns();
        if (account) {
            k->account = *account;
            k->read_at_ns = k->tried_at_ns;
        }
    }
    pthread_mutex_unlock(&v->lock);
}

static int read_account(struct payer_view *v, const uint8_t *payer, struct escrow_account *out, struct err *e)
{
    struct light_head head;
    uint8_t slots[2][32], words[2][32];
    slot_escrow_account(payer, v->config.node, slots[0]);
    slot_escrow_thaw(payer, v->config.node, slots[1]);
    int rc = fresh_head(v, HEAD_KEPT_MS, &head, e);
    if (rc == 0)
        rc = light_storage(v->light, &head, v->config.escrow, slots, 2, words, NULL, e);
    if (rc != 0)
        return rc;
    *out = (struct escrow_account){.claimed_wei = wei_from_be16(words[0]),
                                   .balance_wei = wei_from_be16(words[0] + 16),
                                   .thaw_wei = wei_from_be16(words[1] + 16)};
    return 0;
}

static int view_account(void *user, const uint8_t payer[ADDRESS_BYTES], struct escrow_account *out, struct err *e)
{
    struct payer_view *v = user;
    int64_t tried_at_ns;
    bool there = known(v, payer, out, &tried_at_ns);
    if (there && out->age_ms < v->config.max_age_ms / 4)
        return 0;
    pthread_mutex_lock(&v->asking);
    there = known(v, payer, out, &tried_at_ns); /* somebody else may have asked meanwhile */
    int rc = 0;
    if (there && (out->age_ms < v->config.max_age_ms / 4 || younger(tried_at_ns, RETRY_MS))) {
        ;
    } else if (!there && younger(tried_at_ns, RETRY_MS)) {
        rc = err_set(e, OL_EIO, MODULE, "the payer's escrow could not be read a moment ago");
    } else {
        struct escrow_account read;
        rc = read_account(v, payer, &read, e);
        remember(v, payer, rc == 0 ? &read : NULL);
        if (rc == 0)
            *out = read;
        else if (there)
            rc = 0; /* as it was, with its age */
    }
    pthread_mutex_unlock(&v->asking);
    return rc;
}

/* ---- facts */

static bool is_fact(struct payer_view *v, const uint8_t slot[32])
{
    pthread_mutex_lock(&v->lock);
    bool there = idmap_find(&v->facts, slot) != NULL;
    pthread_mutex_unlock(&v->lock);
    return there;
}

static void add_fact(struct payer_view *v, const uint8_t slot[32])
{
    struct fact *f = calloc(1, sizeof *f);
    pthread_mutex_lock(&v->lock);
    if (v->facts.n >= MAX_FACTS)
        idmap_filter(&v->facts, all, NULL);
    if (f)
        memcpy(f->slot, slot, 32);
    if (!f || idmap_find(&v->facts, slot) || !idmap_add(&v->facts, f))
        free(f); /* only a cache */
    pthread_mutex_unlock(&v->lock);
}

static int read_word(struct payer_view *v, const uint8_t contract[ADDRESS_BYTES], const uint8_t slot[32],
                     int64_t head_kept_ms, uint8_t word[32], struct err *e)
{
    struct light_head head;
    uint8_t slots[1][32], words[1][32];
    memcpy(slots[0], slot, 32);
    pthread_mutex_lock(&v->asking);
    int rc = fresh_head(v, head_kept_ms, &head, e);
    if (rc == 0)
        rc = light_storage(v->light, &head, contract, slots, 1, words, NULL, e);
    pthread_mutex_unlock(&v->asking);
    if (rc == 0)
        memcpy(word, words[0], 32);
    return rc;
}

/* Rows are never taken back: proven once is proven for good. Absence is proven at the newest head only, as the row may
 * just have been registered. */
static int view_registered(void *user, const uint8_t id[32], bool *out, struct err *e)
{
    static const uint8_t none[32];
    struct payer_view *v = user;
    uint8_t slot[32], word[32];
    slot_registered(id, slot);
    *out = is_fact(v, slot);
    if (*out)
        return 0;
    int rc = 0;
    for (int look = 0; look < 2 && rc == 0 && !*out; look++) {
        rc = read_word(v, v->config.registry, slot, look ? 0 : HEAD_KEPT_MS, word, e);
        *out = rc == 0 && memcmp(word, none, 32) != 0;
    }
    if (*out)
        add_fact(v, slot);
    return rc;
}

/* Only signers without an end: one whose revocation thaws is served no more. Asked each time: it can be revoked. */
static int view_signer(void *user, const uint8_t payer[ADDRESS_BYTES], const uint8_t signer[ADDRESS_BYTES], bool *out,
                       struct err *e)
{
    struct payer_view *v = user;
    uint8_t slot[32], word[32];
    slot_escrow_signer(payer, signer, slot);
    int rc = read_word(v, v->config.escrow, slot, HEAD_KEPT_MS, word, e);
    *out = rc == 0;
    for (int i = 24; i < 32; i++)
        *out = *out && word[i] == 0xff;
    return rc;
}

/* ---- time */

static int view_now(void *user, int64_t *out, struct err *e)
{
    struct payer_view *v = user;
    struct light_head head;
    *out = clock_unix_ms();
    if (v->config.rpc->max_head_age_s == 0)
        return 0; /* blocks come on demand: their time says nothing about now */
    pthread_mutex_lock(&v->lock);
    bool fresh = v->has_head && younger(v->head_at_ns, v->config.max_age_ms / 4);
    head = v->head;
    int64_t at_ns = v->head_at_ns;
    pthread_mutex_unlock(&v->lock);
    if (!fresh) {
        pthread_mutex_lock(&v->asking);
        int rc = fresh_head(v, HEAD_KEPT_MS, &head, e);
        at_ns = v->head_at_ns; /* written under `asking` only */
        pthread_mutex_unlock(&v->asking);
        if (rc != 0 && !v->has_head)
            return rc;
    }
    *out = (int64_t)head.timestamp * 1000 + (clock_mono_ns() - at_ns) / 1000000;
    return 0;
}

static int view_epoch(void *user, uint64_t *out, struct err *e)
{
    const struct payer_view *v = user;
    *out = 0;
    return v->config.epoch ? v->config.epoch(v->config.epoch_user, out, e) : 0;
}

struct chain_view payer_view_of(struct payer_view *v)
{
    return (struct chain_view){v, view_account, view_signer, view_registered, view_now, view_epoch};
}

bool payer_view_head(struct payer_view *v, struct light_head *out)
{
    pthread_mutex_lock(&v->lock);
    *out = v->head;
    bool there = v->has_head;
    pthread_mutex_unlock(&v->lock);
    return there;
}
