/* Counting. Accesses of a warp are gathered by source line and by the how-manieth passage there, and weighed when its
 * lanes meet. */
#include "tests/simt/traffic.h"
#include "tests/simt/count.h"
#include "tests/simt/engine.h"
#include "tests/simt/runtime.h"

#include <algorithm>
#include <deque>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace simt {

enum { SECTOR = 32, L1_SECTORS = 64 * 1024 / SECTOR, BANKS = 32 };

static std::map<std::string, simt_traffic> totals;
static simt_traffic *now; /* of the kernel that runs */

/* --- Requests. --- */

struct request {
    uint32_t lanes;
    uint64_t address[LANES];
};

struct site { /* one line of source, one kind of access */
    counted what;
    place at;
    unsigned bytes;
    unsigned passed[LANES];
    std::vector<request> requests;
};

/* Sectors that a cache holds, oldest first. */
struct cache {
    size_t sectors;
    std::unordered_set<uint64_t> held;
    std::deque<uint64_t> order;
    bool touch(uint64_t sector) /* true: it was there */
    {
        if (!held.insert(sector).second)
            return true;
        order.push_back(sector);
        if (order.size() > sectors) {
            held.erase(order.front());
            order.pop_front();
        }
        return false;
    }
    void clear(size_t size)
    {
        sectors = size;
        held.clear();
        order.clear();
    }
};

static std::unordered_map<const warp *, std::vector<site>> open_sites;
static std::unordered_map<const block *, cache> l1;
static cache l2;
static std::unordered_set<uint64_t> written; /* sectors, by this launch */
static std::unordered_map<const warp *, const block *> block_of;

void count_access(counted what, uint64_t address, unsigned bytes, place at)
{
    const lane *self = current;
    std::vector<site> &sites = open_sites[self->warp];
    block_of[self->warp] = self->block;
    auto found = std::find_if(sites.begin(), sites.end(), [&](const site &s) {
        return s.what == what && s.at.line == at.line && s.at.file == at.file && s.bytes == bytes;
    });
    if (found == sites.end()) {
        sites.push_back({what, at, bytes, {}, {}});
        found = sites.end() - 1;
    }
    unsigned mine = (unsigned)self->number % LANES, n = found->passed[mine]++;
    if (found->requests.size() <= n)
        found->requests.resize(n + 1);
    found->requests[n].lanes |= self->bit;
    found->requests[n].address[mine] = address;
}

/* --- Weighing. --- */

static std::vector<uint64_t> sectors_of(const site &s, const request &r)
{
    std::vector<uint64_t> all;
    for (int i = 0; i < LANES; i++)
        if (r.lanes >> i & 1)
            for (uint64_t a = r.address[i] / SECTOR; a <= (r.address[i] + s.bytes - 1) / SECTOR; a++)
                all.push_back(a);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

static void weigh_load(const site &s, const request &r, cache *first)
{
    now->load_bytes += (uint64_t)__builtin_popcount(r.lanes) * s.bytes;
    for (uint64_t sector : sectors_of(s, r)) {
        now->load_sector_bytes += SECTOR;
        if (first && first->touch(sector))
            continue;
        now->l2_bytes += SECTOR;
        if (!l2.touch(sector))
            now->dram_read_bytes += SECTOR;
    }
}

static void weigh_store(const site &s, const request &r)
{
    now->store_bytes += (uint64_t)__builtin_popcount(r.lanes) * s.bytes;
    for (uint64_t sector : sectors_of(s, r)) {
        now->store_sector_bytes += SECTOR;
        l2.touch(sector);
        if (written.insert(sector).second)
            now->dram_write_bytes += SECTOR;
    }
}

/* One part of a shared request: lanes first .. first + n − 1. */
static void weigh_part(const site &s, const request &r, int first, int n)
{
    std::vector<uint64_t> words[BANKS];
    size_t worst = 0;
    for (int i = first; i < first + n; i++) {
        if (!(r.lanes >> i & 1))
            continue;
        for (uint64_t w = r.address[i] / 4; w <= (r.address[i] + s.bytes - 1) / 4; w++) {
            std::vector<uint64_t> &bank = words[w % BANKS];
            if (std::find(bank.begin(), bank.end(), w) == bank.end())
                bank.push_back(w);
            worst = std::max(worst, bank.size());
        }
    }
    now->shared_parts += worst > 0;
    now->shared_wavefronts += worst;
}

static void weigh_shared(const site &s, const request &r)
{
    int lanes = s.bytes == 16 ? 8 : s.bytes == 8 ? 16 : LANES;
    for (int i = 0; i < LANES; i += lanes)
        weigh_part(s, r, i, lanes);
}

static void weigh(const warp *w, const site &s, const request &r)
{
    cache *first = &l1[block_of[w]];
    switch (s.what) {
    case COUNT_LOAD: now->loads++; return weigh_load(s, r, first);
    case COUNT_STREAM: now->loads++; return weigh_load(s, r, nullptr);
    case COUNT_COPY: now->copies++; return weigh_load(s, r, nullptr);
    case COUNT_COPY_L1: now->copies++; return weigh_load(s, r, first);
    case COUNT_STORE: now->stores++; return weigh_store(s, r);
    case COUNT_ATOMIC: now->atomics++; return weigh_store(s, r);
    case COUNT_SHARED_LOAD: now->shared_loads++; return weigh_shared(s, r);
    case COUNT_SHARED_STORE: now->shared_stores++; return weigh_shared(s, r);
    case COUNT_LDMATRIX: now->ldmatrix++; return weigh_shared(s, r);
    }
}

void count_flush(warp *w)
{
    auto found = open_sites.find(w);
    if (found == open_sites.end())
        return;
    for (const site &s : found->second)
        for (const request &r : s.requests)
            weigh(w, s, r);
    found->second.clear();
}

void count_op(warp_op op)
{
    switch (op) {
    case OP_SYNC: now->syncwarps++; break;
    case OP_SHUFFLE: now->shuffles++; break;
    case OP_BALLOT: now->votes++; break;
    case OP_MMA_S8_K32: case OP_MMA_S8_K16: now->mma_s8++; break;
    case OP_MMA_F16: now->mma_f16++; break;
    case OP_MMA_BF16: now->mma_bf16++; break;
    case OP_LDMATRIX: break; /* by its addresses */
    }
}

static uint64_t at_barriers; /* threads */
void count_barrier() { at_barriers++; }

void count_begin(kernel *k)
{
    now = &totals[k->name];
    now->launches++;
    now->blocks += (uint64_t)k->grid.x * k->grid.y * k->grid.z;
    at_barriers = 0;
    written.clear();
    l2.clear((size_t)gpu_at(current_gpu())->properties.l2CacheSize / SECTOR);
}

void count_block(block *b) { l1[b].clear(L1_SECTORS); }

void count_end(kernel *)
{
    now->barriers += at_barriers / LANES;
    for (auto &w : open_sites)
        count_flush(const_cast<warp *>(w.first));
    open_sites.clear();
    block_of.clear();
}

/* --- The interface. --- */

static void add(simt_traffic *sum, const simt_traffic *t)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)t;
    for (size_t i = 0; i < sizeof *t / sizeof *to; i++)
        to[i] += from[i];
}

static int dump(FILE *f)
{
    const char *separator = "";
    fprintf(f, "{");
    for (const auto &t : totals) {
        const simt_traffic &n = t.second;
        fprintf(f, "%s\n  \"%s\": {", separator, t.first.c_str());
#define FIELD(name) fprintf(f, "\"" #name "\": %llu%s", (unsigned long long)n.name, strcmp(#name, "barriers") ? ", " : "}")
        FIELD(launches), FIELD(blocks), FIELD(load_bytes), FIELD(load_sector_bytes), FIELD(l2_bytes);
        FIELD(dram_read_bytes), FIELD(dram_write_bytes), FIELD(store_bytes), FIELD(store_sector_bytes);
        FIELD(shared_parts), FIELD(shared_wavefronts), FIELD(loads), FIELD(stores), FIELD(atomics), FIELD(copies);
        FIELD(shared_loads), FIELD(shared_stores), FIELD(ldmatrix), FIELD(mma_s8), FIELD(mma_f16), FIELD(mma_bf16);
        FIELD(shuffles), FIELD(votes), FIELD(syncwarps), FIELD(barriers);
#undef FIELD
        separator = ",";
    }
    fprintf(f, "\n}\n");
    return ferror(f) ? -1 : 0;
}

static void dump_at_exit() { simt_traffic_dump(getenv("OPENLORA_SIMT_TRAFFIC")); }

void traffic_init()
{
    const char *path = getenv("OPENLORA_SIMT_TRAFFIC");
    if (path && *path) {
        watching |= WATCH_TRAFFIC;
        atexit(dump_at_exit);
    }
}

} // namespace simt

using namespace simt;

void simt_traffic_start(void)
{
    std::lock_guard<std::recursive_mutex> guard(engine);
    totals.clear();
    watching |= WATCH_TRAFFIC;
}

void simt_traffic_stop(void)
{
    std::lock_guard<std::recursive_mutex> guard(engine);
    watching &= ~(unsigned)WATCH_TRAFFIC;
}

int simt_traffic_get(const char *kernel, struct simt_traffic *out)
{
    std::lock_guard<std::recursive_mutex> guard(engine);
    int n = 0;
    memset(out, 0, sizeof *out);
    for (const auto &t : totals)
        if (!strncmp(t.first.c_str(), kernel, strlen(kernel))) {
            add(out, &t.second);
            n++;
        }
    return n;
}

int simt_traffic_dump(const char *path)
{
    std::lock_guard<std::recursive_mutex> guard(engine);
    FILE *f = fopen(path, "w");
    if (!f)
        return -1;
    int rc = dump(f);
    return fclose(f) || rc ? -1 : 0;
}
