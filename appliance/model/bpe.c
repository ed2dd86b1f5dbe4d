/* The word is a doubly linked list of symbols in an array. A heap holds the candidates for joining, lowest rank first
 * and leftmost among equals, as (rank << 32 | position). Joining two symbols makes the candidates of their neighbours
 * out of date; those stay in the heap and are recognised when they come up, since a symbol always knows the rank of
 * its current pair.
 *
 * Known pitfall: a scan for the lowest pair per step is simpler and faster for short words, but a client may send one
 * word of megabytes, where it would take hours. */
#include "model/bpe.h"

#include <stdlib.h>
#include <string.h>

#define NO_MERGE UINT32_MAX
enum { NONE = -1 };

struct bpe_symbol {
    int32_t id;
    int32_t previous, next;   /* neighbours still alive, or NONE */
    uint32_t rank;            /* of joining this symbol with the next one, or NO_MERGE; always up to date */
    int32_t joined;           /* id of the two together */
};

void bpe_init(struct bpe *b, const struct vocab *vocab)
{
    *b = (struct bpe){.vocab = vocab, .unknown_id = -1};
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        b->byte_ids[i] = vocab_find(vocab, &byte, 1);
    }
}

void bpe_deinit(struct bpe *b)
{
    map64_deinit(&b->merges);
}

static uint64_t pair_key(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

int bpe_add_merge(struct bpe *b, uint32_t rank, struct text left, struct text right, struct err *e)
{
    if (rank >= BPE_MAX_MERGES)
        return err_set(e, OL_ELIMIT, "tokenizer", "more than %d merges", BPE_MAX_MERGES);
    struct buf bytes;
    buf_init(&bytes, VOCAB_MAX_BYTES);
    bool spelled = vocab_unspell(left, &bytes);
    size_t middle = bytes.len;
    spelled = spelled && vocab_unspell(right, &bytes) && !buf_failed(&bytes);
    int32_t l = -1, r = -1, joined = -1;
    if (spelled) {
        l = vocab_find(b->vocab, buf_str(&bytes), middle);
        r = vocab_find(b->vocab, buf_str(&bytes) + middle, bytes.len - middle);
        joined = vocab_find(b->vocab, buf_str(&bytes), bytes.len);
    }
    bool no_memory = bytes.no_memory;
    buf_deinit(&bytes);
    if (no_memory)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for merge %u", (unsigned)rank);
    if (l < 0 || r < 0 || joined < 0)
        return err_set(
            e, OL_EFORMAT, "tokenizer", "merge %u (\"%.*s\" + \"%.*s\") is not made of tokens of the vocabulary", rank,
            (int)(left.len < 60 ? left.len : 60), left.data, (int)(right.len < 60 ? right.len : 60), right.data);
    if (!map64_set(&b->merges, pair_key(l, r), (uint64_t)rank << 32 | (uint32_t)joined))
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for the merges");
    return 0;
}

int bpe_add_merge_line(struct bpe *b, uint32_t rank, struct text line, struct err *e)
{
    /* The alphabet has no space, so the first one is the separator. */
    const char *space = memchr(line.data, ' ', line.len);
    if (!space)
        return err_set(e, OL_EFORMAT, "tokenizer", "merge %u has no space between its two parts", rank);
    size_t middle = (size_t)(space - line.data);
    return bpe_add_merge(b, rank, (struct text){line.data, middle},
                         (struct text){space + 1, line.len - middle - 1}, e);
}

int id_list_add(struct id_list *list, int32_t id, struct err *e)
{
    size_t n = *list->n;
    if (n >= list->max)
        return err_set(e, OL_ELIMIT, "tokenizer", "the text has more than %zu tokens", list->max);
    if (n == *list->cap) {
        size_t cap = n ? n * 2 : 64;
        int32_t *p = realloc(*list->ids, cap * sizeof *p);
        if (!p)
            return err_set(e, OL_ENOMEM, "tokenizer", "no memory for %zu tokens", cap);
        *list->ids = p;
        *list->cap = cap;
    }
    (*list->ids)[n] = id;
    *list->n = n + 1;
    return 0;
}

void bpe_work_deinit(struct bpe_work *w)
{
    free(w->symbols);
    free(w->heap);
    *w = (struct bpe_work){0};
}

static int reserve(struct bpe_work *w, size_t n, struct err *e)
{
    if (n <= w->cap)
        return 0;
    size_t cap = n < 64 ? 64 : n + n / 2;
    if (cap > INT32_MAX)
        return err_set(e, OL_ELIMIT, "tokenizer", "a word of %zu bytes", n);
    bpe_work_deinit(w);
    w->symbols = malloc(cap * sizeof *w->symbols);
    w->heap = malloc(cap * 2 * sizeof *w->heap); /* a merge takes one candidate out and puts two in */
    if (!w->symbols || !w->heap)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory to split a word of %zu bytes", n);
    w->cap = cap;
    return 0;
}

static void heap_push(struct bpe_work *w, uint64_t candidate)
{
    size_t i = w->n_heap++;
    while (i && w->heap[(i - 1) / 2] > candidate) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = candidate;
}

static uint64_t heap_pop(struct bpe_work *w)
{
    uint64_t top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= last)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* Symbol i has a new next symbol, or is itself new: what would joining the two give? */
static void update_pair(const struct bpe *b, struct bpe_work *w, int32_t i)
{
    struct bpe_symbol *s = &w->symbols[i];
    uint64_t merge = s->next == NONE ? MAP64_ABSENT : map64_get(&b->merges, pair_key(s->id, w->symbols[s->next].id));
    s->rank = merge == MAP64_ABSENT ? NO_MERGE : (uint32_t)(merge >> 32);
    s->joined = (int32_t)(uint32_t)merge;
    if (s->rank != NO_MERGE)
        heap_push(w, (uint64_t)s->rank << 32 | (uint32_t)i);
}

/* Fills the symbols with the word's single bytes; returns how many there are. */
static int32_t split_bytes(const struct bpe *b, const char *word, size_t len, struct bpe_work *w)
{
    int32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = b->byte_ids[(unsigned char)word[i]];
        if (id < 0)
            id = b->unknown_id;
        if (id < 0)
            continue;
        w->symbols[n] = (struct bpe_symbol){.id = id, .previous = n - 1, .next = n + 1};
        n++;
    }
    if (n)
        w->symbols[n - 1].next = NONE;
    return n;
}

/* At most one join per symbol, each with at most two new candidates. */
static void merge_all(const struct bpe *b, struct bpe_work *w)
{
    while (w->n_heap) {
        uint64_t top = heap_pop(w);
        int32_t i = (int32_t)(uint32_t)top;
        struct bpe_symbol *s = &w->symbols[i];
        if (s->rank != (uint32_t)(top >> 32))
            continue; /* out of date: one of the two has been joined with another since */
        struct bpe_symbol *gone = &w->symbols[s->next];
        s->id = s->joined;
        s->next = gone->next;
        gone->rank = NO_MERGE;
        if (s->next != NONE)
            w->symbols[s->next].previous = i;
        update_pair(b, w, i);
        if (s->previous != NONE)
            update_pair(b, w, s->previous);
    }
}

int bpe_encode(const struct bpe *b, const char *word, size_t len, struct bpe_work *w, struct id_list *out,
               struct err *e)
{
    if (b->ignore_merges) {
        int32_t whole = vocab_find(b->vocab, word, len);
        if (whole >= 0)
            return id_list_add(out, whole, e);
    }
    int rc = reserve(w, len, e);
    if (rc)
        return rc;
    int32_t n = split_bytes(b, word, len, w);
    w->n_heap = 0;
    for (int32_t i = 0; i < n; i++)
        update_pair(b, w, i);
    merge_all(b, w);
    for (int32_t i = n ? 0 : NONE; i != NONE; i = w->symbols[i].next)
        if ((rc = id_list_add(out, w->symbols[i].id, e)))
            return rc;
    return 0;
}
