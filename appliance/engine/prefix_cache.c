#include "engine/prefix_cache.h"

#include <mbedtls/md.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { PAGE = STEP_PAGE_TOKENS, PARTIAL_SCAN = 32 /* children looked at for a partial match, newest first */ };

struct cache_node {
    struct cache_space space; /* compared where parent is −1; below, the parent implies it */
    int32_t tokens[PAGE];
    int32_t n_tokens;    /* 0: this page is not in the cache */
    int32_t parent;
    int32_t first_child;
    int32_t next, prev;  /* siblings: children of one parent, or roots of one bucket */
    int32_t next_exact;  /* chain of its `exact` bucket; full pages only */
    int32_t lru_next, lru_prev;
    bool in_lru;
    double last_used_s;
};

static void digest_text(mbedtls_md_context_t *md, const char *text)
{
    uint64_t len = strlen(text); /* length first: ("ab", "c") and ("a", "bc") must differ */
    CHECK(mbedtls_md_update(md, (const unsigned char *)&len, sizeof len) == 0);
    CHECK(mbedtls_md_update(md, (const unsigned char *)text, len) == 0);
}

void cache_space_init(struct cache_space *s, const struct cache_origin *origin, const char *tenant,
                      const char *adapter_hash)
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    /* SHA-256 on memory fails only for a wrong set-up, which would be a bug here. */
    CHECK(mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0) == 0 && mbedtls_md_starts(&md) == 0);
    digest_text(&md, origin->numerics);
    digest_text(&md, origin->version);
    digest_text(&md, adapter_hash);
    digest_text(&md, tenant);
    CHECK(mbedtls_md_finish(&md, s->digest) == 0);
    mbedtls_md_free(&md);
}

int prefix_cache_init(struct prefix_cache *c, struct page_pool *pool, struct err *e)
{
    *c = (struct prefix_cache){.pool = pool, .lru_head = -1, .lru_tail = -1, .n_buckets = 64};
    while (c->n_buckets < (uint32_t)pool->n_pages * 2)
        c->n_buckets *= 2;
    c->nodes = calloc((size_t)pool->n_pages, sizeof *c->nodes);
    c->exact = malloc(c->n_buckets * sizeof *c->exact);
    c->roots = malloc(c->n_buckets * sizeof *c->roots);
    if (!c->nodes || !c->exact || !c->roots) {
        prefix_cache_deinit(c);
        return err_set(e, OL_ENOMEM, "prefix_cache", "no memory to index %d pages", (int)pool->n_pages);
    }
    memset(c->exact, -1, c->n_buckets * sizeof *c->exact);
    memset(c->roots, -1, c->n_buckets * sizeof *c->roots);
    if (getrandom(&c->seed, sizeof c->seed, GRND_NONBLOCK) != sizeof c->seed)
        c->seed = 0x9e3779b97f4a7c15u; /* too early in boot for randomness: only bucket lengths depend on it */
    return 0;
}

void prefix_cache_deinit(struct prefix_cache *c)
{
    free(c->nodes);
    free(c->exact);
    free(c->roots);
    *c = (struct prefix_cache){0};
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9fb21c651e98df25u;
    return h ^ (h >> 32);
}

static uint32_t root_bucket(const struct prefix_cache *c, const struct cache_space *s)
{
    uint64_t head;
    memcpy(&head, s->digest, sizeof head);
    return (uint32_t)mix(mix(c->seed, head), 1) & (c->n_buckets - 1);
}

static uint32_t exact_bucket(const struct prefix_cache *c, const struct cache_space *s, int32_t parent,
                             const int32_t *tokens)
{
    uint64_t h = mix(c->seed, (uint64_t)(int64_t)parent);
    if (parent < 0)
        h = mix(h, root_bucket(c, s));
    for (int i = 0; i < PAGE; i++)
        h = mix(h, (uint32_t)tokens[i]);
    return (uint32_t)mix(h, 2) & (c->n_buckets - 1);
}

static bool is_child(const struct cache_node *n, const struct cache_space *s, int32_t parent)
{
    return n->parent == parent && (parent >= 0 || memcmp(&n->space, s, sizeof *s) == 0);
}

/* The full page that follows `parent` with exactly these tokens, or −1. */
static int32_t find_full(const struct prefix_cache *c, const struct cache_space *s, int32_t parent,
                         const int32_t *tokens)
{
    int32_t p = c->exact[exact_bucket(c, s, parent, tokens)];
    while (p >= 0 && !(is_child(&c->nodes[p], s, parent) && !memcmp(c->nodes[p].tokens, tokens, PAGE * sizeof *tokens)))
        p = c->nodes[p].next_exact;
    return p;
}

/* The child of `parent` that shares most beginning tokens; *n gets how many. */
static int32_t find_partial(const struct prefix_cache *c, const struct cache_space *s, int32_t parent,
                            const int32_t *tokens, int32_t max, int32_t *n)
{
    int32_t best = -1, seen = 0;
    *n = 0;
    int32_t p = parent < 0 ? c->roots[root_bucket(c, s)] : c->nodes[parent].first_child;
    for (; p >= 0 && seen < PARTIAL_SCAN && *n < max; p = c->nodes[p].next) {
        const struct cache_node *node = &c->nodes[p];
        if (!is_child(node, s, parent))
            continue;
        seen++;
        int32_t k = 0, limit = node->n_tokens < max ? node->n_tokens : max;
        while (k < limit && node->tokens[k] == tokens[k])
            k++;
        if (k > *n) {
            *n = k;
            best = p;
        }
    }
    return best;
}

static void lru_remove(struct prefix_cache *c, int32_t page)
{
    struct cache_node *n = &c->nodes[page];
    if (!n->in_lru)
        return;
    *(n->lru_prev >= 0 ? &c->nodes[n->lru_prev].lru_next : &c->lru_head) = n->lru_next;
    *(n->lru_next >= 0 ? &c->nodes[n->lru_next].lru_prev : &c->lru_tail) = n->lru_prev;
    n->in_lru = false;
}

static void lru_insert(struct prefix_cache *c, int32_t page, bool oldest)
{
    struct cache_node *n = &c->nodes[page];
    CHECK(!n->in_lru && n->first_child < 0 && c->pool->refs[page] == 1);
    n->in_lru = true;
    n->lru_prev = oldest ? -1 : c->lru_tail;
    n->lru_next = oldest ? c->lru_head : -1;
    *(n->lru_prev >= 0 ? &c->nodes[n->lru_prev].lru_next : &c->lru_head) = page;
    *(n->lru_next >= 0 ? &c->nodes[n->lru_next].lru_prev : &c->lru_tail) = page;
}

static void take_ref(struct prefix_cache *c, int32_t page)
{
    if (c->pool->refs[page] == 1) {
        c->n_idle--;
        lru_remove(c, page);
    }
    page_pool_ref(c->pool, page);
    c->nodes[page].last_used_s = c->now_s;
}

struct cache_match prefix_cache_match(struct prefix_cache *c, const struct cache_space *s, const int32_t *tokens,
                                      int32_t max_tokens, int32_t *pages)
{
    struct cache_match m = {.partial_page = -1};
    int32_t parent = -1, at = 0;
    for (; max_tokens - at >= PAGE; at += PAGE) {
        int32_t p = find_full(c, s, parent, tokens + at);
        if (p < 0)
            break;
        take_ref(c, p);
        pages[m.n_pages++] = parent = p;
    }
    int32_t rest = max_tokens - at < PAGE ? max_tokens - at : PAGE;
    m.partial_page = find_partial(c, s, parent, tokens + at, rest, &m.n_partial);
    if (m.partial_page >= 0)
        take_ref(c, m.partial_page);
    return m;
}

int32_t prefix_cache_peek(const struct prefix_cache *c, const struct cache_space *s, const int32_t *tokens,
                          int32_t max_tokens)
{
    int32_t parent = -1, at = 0;
    for (; max_tokens - at >= PAGE; at += PAGE) {
        parent = find_full(c, s, parent, tokens + at);
        if (parent < 0)
            break;
    }
    return at;
}

static void link_node(struct prefix_cache *c, const struct cache_space *s, int32_t page)
{
    struct cache_node *n = &c->nodes[page];
    int32_t *first = n->parent < 0 ? &c->roots[root_bucket(c, s)] : &c->nodes[n->parent].first_child;
    n->next = *first;
    n->prev = -1;
    if (*first >= 0)
        c->nodes[*first].prev = page;
    *first = page;
    if (n->n_tokens == PAGE) {
        int32_t *bucket = &c->exact[exact_bucket(c, s, n->parent, n->tokens)];
        n->next_exact = *bucket;
        *bucket = page;
    }
}

static void unlink_node(struct prefix_cache *c, int32_t page)
{
    struct cache_node *n = &c->nodes[page];
    if (n->prev >= 0)
        c->nodes[n->prev].next = n->next;
    else
        *(n->parent < 0 ? &c->roots[root_bucket(c, &n->space)] : &c->nodes[n->parent].first_child) = n->next;
    if (n->next >= 0)
        c->nodes[n->next].prev = n->prev;
    if (n->n_tokens == PAGE) {
        int32_t *link = &c->exact[exact_bucket(c, &n->space, n->parent, n->tokens)];
        while (*link != page)
            link = &c->nodes[*link].next_exact;
        *link = n->next_exact;
    }
    n->n_tokens = 0;
}

int32_t prefix_cache_publish(struct prefix_cache *c, const struct cache_space *s, int32_t parent, const int32_t *tokens,
                             int32_t n, int32_t page)
{
    struct cache_node *node = &c->nodes[page];
    CHECK(n >= 1 && n <= PAGE && node->n_tokens == 0 && c->pool->refs[page] == 1);
    CHECK(parent < 0 || c->nodes[parent].n_tokens == PAGE);
    int32_t shared = 0, twin = -1;
    if (n == PAGE)
        twin = find_full(c, s, parent, tokens);
    else if (find_partial(c, s, parent, tokens, n, &shared) >= 0 && shared == n)
        return page; /* a copy of the tail could already be made from another page: not worth a node */
    if (twin >= 0) {
        take_ref(c, twin);
        CHECK(page_pool_release(c->pool, page));
        return twin;
    }
    *node =
        (struct cache_node){.space = *s, .n_tokens = n, .parent = parent, .first_child = -1, .last_used_s = c->now_s};
    memcpy(node->tokens, tokens, (size_t)n * sizeof *tokens);
    page_pool_ref(c->pool, page);
    link_node(c, s, page);
    c->n_nodes++;
    return page;
}

void prefix_cache_release(struct prefix_cache *c, int32_t page)
{
    page_pool_release(c->pool, page);
    struct cache_node *n = &c->nodes[page];
    if (!n->n_tokens || c->pool->refs[page] != 1)
        return;
    n->last_used_s = c->now_s;
    c->n_idle++;
    if (n->first_child < 0)
        lru_insert(c, page, false);
}

double prefix_cache_oldest_s(const struct prefix_cache *c)
{
    CHECK(c->lru_head >= 0);
    return c->nodes[c->lru_head].last_used_s;
}

void prefix_cache_evict(struct prefix_cache *c)
{
    int32_t page = c->lru_head;
    CHECK(page >= 0); /* invariant 2: an idle page implies an idle leaf */
    int32_t parent = c->nodes[page].parent;
    double used_s = c->nodes[page].last_used_s;
    lru_remove(c, page);
    unlink_node(c, page);
    c->n_nodes--;
    c->n_idle--;
    CHECK(page_pool_release(c->pool, page));
    /* The parent was used at least as recently. Used together, it is the next to go; used since, it is young. */
    if (parent >= 0 && c->nodes[parent].first_child < 0 && c->pool->refs[parent] == 1)
        lru_insert(c, parent, c->nodes[parent].last_used_s <= used_s);
}
