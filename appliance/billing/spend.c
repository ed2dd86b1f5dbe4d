/* Sums of keys. A sum is raised in the write that holds the answer's salts, before the receipt is asked for: a crash between
 * the two leaves it too high, which costs a key's limit a little and the node nothing. */
#include "billing/spend.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_S = 86400 };

struct sum {
    char id[KEY_ID_BYTES];
    int64_t day; /* since 1970 */
    wei_t total_wei, day_wei, reserved_wei;
};

struct spend {
    struct ledger *ledger; /* borrowed */
    pthread_mutex_t lock;
    struct sum *sums; /* of keys that were used since the start */
    int n, cap;
};

int spend_open(struct ledger *l, struct spend **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, "spend", "no memory for the sums");
    (*out)->ledger = l;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

void spend_close(struct spend *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->sums);
    free(s);
}

static void row_of(const char *id, uint8_t out[LEDGER_KEY_BYTES]) { keccak256(id, strlen(id), out); }

static void load(struct spend *s, struct sum *sum)
{
    uint8_t row[LEDGER_KEY_BYTES];
    struct buf text;
    row_of(sum->id, row);
    buf_init(&text, 4096);
    json_t *j = ledger_get(s->ledger, LEDGER_SPENT, row, &text, NULL) == 0 ? json_loads(buf_str(&text), 0, NULL) : NULL;
    const char *total = json_string_value(json_object_get(j, "total_wei"));
    const char *day = json_string_value(json_object_get(j, "day_wei"));
    if (total && day && wei_parse(total, &sum->total_wei) && wei_parse(day, &sum->day_wei))
        sum->day = json_integer_value(json_object_get(j, "day"));
    json_decref(j);
    buf_deinit(&text);
}

/* Of today. NULL without memory. Lock held. */
static struct sum *find(struct spend *s, const char *id, int64_t now_s)
{
    struct sum *found = NULL;
    for (int i = 0; i < s->n && !found; i++)
        found = strcmp(s->sums[i].id, id) == 0 ? &s->sums[i] : NULL;
    if (!found && s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 16;
        struct sum *more = realloc(s->sums, (size_t)cap * sizeof *more);
        if (!more)
            return NULL;
        s->sums = more;
        s->cap = cap;
    }
    if (!found) {
        found = &s->sums[s->n++];
        *found = (struct sum){0};
        memcpy(found->id, id, strlen(id) + 1);
        load(s, found);
    }
    if (found->day != now_s / DAY_S) {
        found->day = now_s / DAY_S;
        found->day_wei = 0;
    }
    return found;
}

static wei_t room(wei_t limit, wei_t used) { return used < limit ? limit - used : 0; }

int spend_reserve(struct spend *s, const struct key *k, wei_t most_wei, int64_t now_s, wei_t *left_wei, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    struct sum *sum = find(s, k->id, now_s);
    *left_wei = ~(wei_t)0;
    if (sum && k->has_total)
        *left_wei = room(k->total_wei, sum->total_wei + sum->reserved_wei);
    if (sum && k->has_day && room(k->day_wei, sum->day_wei + sum->reserved_wei) < *left_wei)
        *left_wei = room(k->day_wei, sum->day_wei + sum->reserved_wei);
    int rc = !sum                   ? err_set(e, OL_ENOMEM, "spend", "no memory for the key's sums")
             : most_wei > *left_wei ? err_set(e, OL_ELIMIT, "spend", "the API key's spending limit is reached")
                                    : 0;
    if (rc == 0)
        sum->reserved_wei += most_wei;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void spend_release(struct spend *s, const char *id, wei_t most_wei)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->sums[i].id, id) == 0)
            s->sums[i].reserved_wei -= most_wei < s->sums[i].reserved_wei ? most_wei : s->sums[i].reserved_wei;
    pthread_mutex_unlock(&s->lock);
}

static void put(const struct sum *sum, struct ledger_write *w)
{
    uint8_t row[LEDGER_KEY_BYTES];
    char total[WEI_TEXT_BYTES], day[WEI_TEXT_BYTES];
    wei_format(sum->total_wei, total);
    wei_format(sum->day_wei, day);
    json_t *j = json_pack("{ss sI ss}", "total_wei", total, "day", (json_int_t)sum->day, "day_wei", day);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    row_of(sum->id, row);
    if (text)
        ledger_put(w, LEDGER_SPENT, row, text, strlen(text));
    free(text);
    json_decref(j);
}

void spend_record(struct spend *s, const char *id, wei_t most_wei, wei_t fee_wei, int64_t now_s, struct ledger_write *w)
{
    pthread_mutex_lock(&s->lock);
    struct sum *sum = find(s, id, now_s);
    if (sum) {
        sum->reserved_wei -= most_wei < sum->reserved_wei ? most_wei : sum->reserved_wei;
        sum->total_wei += fee_wei;
        sum->day_wei += fee_wei;
        put(sum, w);
    }
    pthread_mutex_unlock(&s->lock);
}

void spend_refund(struct spend *s, const char *id, wei_t fee_wei, int64_t now_s)
{
    pthread_mutex_lock(&s->lock);
    struct sum *sum = find(s, id, now_s);
    struct ledger_write *w = sum ? ledger_begin(s->ledger) : NULL;
    if (sum) {
        sum->total_wei -= fee_wei < sum->total_wei ? fee_wei : sum->total_wei;
        sum->day_wei -= fee_wei < sum->day_wei ? fee_wei : sum->day_wei;
        put(sum, w);
    }
    if (w)
        (void)!ledger_commit(w, false, NULL); /* lost by a crash: the sum stays too high */
    pthread_mutex_unlock(&s->lock);
}

struct spend_sums spend_sums(struct spend *s, const char *id, int64_t now_s)
{
    struct spend_sums out = {0};
    pthread_mutex_lock(&s->lock);
    struct sum *sum = find(s, id, now_s);
    if (sum)
        out = (struct spend_sums){sum->total_wei, sum->day_wei, sum->reserved_wei};
    pthread_mutex_unlock(&s->lock);
    return out;
}
