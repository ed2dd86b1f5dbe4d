/* The list in memory says what is to be handed in; the rows on disk are what counts. A row may be there without an entry
 * (its record is under way: if that never ends, the next start finds it), never an entry without its row. */
#include "billing/arrears.h"

#include "base/log.h"
#include "chainlite/json/values.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "billing"

struct arrears {
    struct ledger *ledger; /* borrowed */
    pthread_mutex_t lock;
    struct waiting {
        uint8_t id[32];
        bool taken;        /* being handed in */
    } *list;               /* (n of cap) in the order in which they came; some hundreds at most */
    size_t n, cap;
};

/* NULL: it is not among them. Lock held. */
static struct waiting *find(const struct arrears *a, const uint8_t id[32])
{
    for (size_t i = 0; i < a->n; i++)
        if (memcmp(a->list[i].id, id, 32) == 0)
            return &a->list[i];
    return NULL;
}

static bool append(struct arrears *a, const uint8_t id[32])
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        struct waiting *more = realloc(a->list, cap * sizeof *more);
        if (!more)
            return false;
        a->list = more;
        a->cap = cap;
    }
    a->list[a->n].taken = false;
    memcpy(a->list[a->n++].id, id, 32);
    return true;
}

static int found(void *user, const uint8_t key[LEDGER_KEY_BYTES], const char *value, size_t n)
{
    (void)value, (void)n;
    return append(user, key) ? 0 : OL_ENOMEM;
}

int arrears_open(struct ledger *l, struct arrears **out, struct err *e)
{
    struct arrears *a = *out = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    a->ledger = l;
    pthread_mutex_init(&a->lock, NULL);
    int rc = ledger_each(l, LEDGER_ARREARS, found, a, e);
    if (rc == 0 && a->n > 0)
        log_line(LOG_WARN, MODULE, "%zu receipts of delivered answers wait to be handed in", a->n);
    return rc;
}

void arrears_close(struct arrears *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a->list);
    free(a);
}

void arrears_put(struct ledger_write *w, const struct arrear *x)
{
    json_t *j = json_pack("{sO ss so}", "record", x->record, "key", x->key_id, "fee_wei", wei_to_json(x->fee_wei));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text)
        ledger_put(w, LEDGER_ARREARS, x->receipt_id, text, strlen(text));
    free(text);
    json_decref(j);
}

void arrears_settle(struct arrears *a, const uint8_t receipt_id[32])
{
    struct err e;
    struct ledger_write *w = ledger_begin(a->ledger);
    ledger_drop(w, LEDGER_ARREARS, receipt_id);
    if (ledger_commit(w, false, &e) != 0)
        log_line(LOG_WARN, MODULE, "a receipt will be handed in once more: %s", e.message);
    pthread_mutex_lock(&a->lock);
    struct waiting *x = find(a, receipt_id);
    if (x)
        memmove(x, x + 1, (size_t)(a->list + --a->n - x) * sizeof *x);
    pthread_mutex_unlock(&a->lock);
}

void arrears_wait(struct arrears *a, const uint8_t receipt_id[32])
{
    pthread_mutex_lock(&a->lock);
    struct waiting *x = find(a, receipt_id);
    bool kept = x || append(a, receipt_id);
    if (x)
        x->taken = false;
    pthread_mutex_unlock(&a->lock);
    if (!kept)
        log_line(LOG_WARN, MODULE, "no memory to remember a receipt that waits: it is handed in after the next start");
}

static bool read_row(struct arrears *a, struct arrear *x, struct err *e)
{
    struct buf text;
    buf_init(&text, LEDGER_MAX_VALUE_BYTES);
    int rc = ledger_get(a->ledger, LEDGER_ARREARS, x->receipt_id, &text, e);
    json_t *j = rc == 0 ? json_loadb(buf_str(&text), text.len, 0, NULL) : NULL;
    const char *key = json_string_value(json_object_get(j, "key"));
    x->record = json_incref(json_object_get(j, "record"));
    bool read = x->record && key && strlen(key) < sizeof x->key_id &&
                wei_from_json(json_object_get(j, "fee_wei"), &x->fee_wei);
    if (read)
        memcpy(x->key_id, key, strlen(key) + 1);
    else
        json_decref(x->record);
    if (rc == 0 && !read)
        err_set(e, OL_EFORMAT, MODULE, "it is not what was written");
    json_decref(j);
    buf_deinit(&text);
    return read;
}

bool arrears_take(struct arrears *a, struct arrear *out)
{
    struct err e = {0};
    for (;;) {
        *out = (struct arrear){0};
        pthread_mutex_lock(&a->lock);
        size_t i = 0;
        while (i < a->n && a->list[i].taken)
            i++;
        bool any = i < a->n;
        if (any) {
            a->list[i].taken = true;
            memcpy(out->receipt_id, a->list[i].id, 32);
        }
        pthread_mutex_unlock(&a->lock);
        if (!any || read_row(a, out, &e))
            return any;
        log_line(LOG_ERROR, MODULE, "a receipt that waited cannot be read and stays unbilled: %s", e.message);
        arrears_settle(a, out->receipt_id);
    }
}

size_t arrears_count(struct arrears *a)
{
    pthread_mutex_lock(&a->lock);
    size_t n = a->n;
    pthread_mutex_unlock(&a->lock);
    return n;
}

bool arrears_hold(struct ledger *l, const uint8_t receipt_id[32])
{
    struct buf text;
    buf_init(&text, LEDGER_MAX_VALUE_BYTES);
    bool there = ledger_get(l, LEDGER_ARREARS, receipt_id, &text, NULL) == 0;
    buf_deinit(&text);
    return there;
}
