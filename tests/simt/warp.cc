/* Shuffles, votes and fragments. Every lane posts what it brings, the last lane of the warp computes, each takes what is
 * its own. These functions are not seen by ThreadSanitizer: only syncwarp and barriers order lanes. */
#include "tests/simt/warp.h"
#include "tests/simt/mma.h"
#include "tests/simt/scheduler.h"

#include <string.h>

namespace simt {

void resolve(warp *w, warp_op op, unsigned phase)
{
    uint32_t(*f)[LANES] = w->fragment[phase];
    switch (op) {
    case OP_SYNC: case OP_SHUFFLE: case OP_LDMATRIX:
        return;
    case OP_BALLOT:
        w->votes[phase] = 0;
        for (int i = 0; i < LANES; i++)
            w->votes[phase] |= (uint32_t)(w->slot[phase][i] & 1) << i;
        return;
    case OP_MMA_S8_K32: return mma_s8(f, 2);
    case OP_MMA_S8_K16: return mma_s8(f, 1);
    case OP_MMA_F16: return mma_f16(f);
    case OP_MMA_BF16: return mma_bf16(f);
    }
}

uint64_t shuffle(uint64_t value, int source, place at)
{
    lane *self = current;
    uint64_t *slot = self->warp->slot[self->phase];
    int mine = self->number % LANES;
    slot[mine] = value;
    converge(OP_SHUFFLE, at);
    return slot[source >= 0 && source < LANES ? source : mine];
}

uint32_t ballot(bool vote, place at)
{
    lane *self = current;
    unsigned phase = self->phase;
    self->warp->slot[phase][self->number % LANES] = vote;
    converge(OP_BALLOT, at);
    return self->warp->votes[phase];
}

void gather_addresses(const void *mine, const void *of[], const int *from, int n, place at)
{
    lane *self = current;
    uint64_t *slot = self->warp->slot[self->phase];
    slot[self->number % LANES] = (uint64_t)(uintptr_t)mine;
    converge(OP_LDMATRIX, at);
    for (int i = 0; i < n; i++)
        of[i] = (const void *)(uintptr_t)slot[from[i]];
}

void mma(warp_op op, void *d, const uint32_t *a, int a_words, const uint32_t *b, int b_words, const void *c, place at)
{
    lane *self = current;
    int mine = self->number % LANES;
    uint32_t(*f)[LANES] = self->warp->fragment[self->phase], word[4];
    for (int i = 0; i < a_words; i++)
        f[MMA_A + i][mine] = a[i];
    for (int i = 0; i < b_words; i++)
        f[MMA_B + i][mine] = b[i];
    memcpy(word, c, sizeof word);
    for (int i = 0; i < 4; i++)
        f[MMA_C + i][mine] = word[i];
    converge(op, at);
    for (int i = 0; i < 4; i++)
        word[i] = f[MMA_D + i][mine];
    memcpy(d, word, sizeof word);
}

} // namespace simt
