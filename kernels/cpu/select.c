/* Which instruction set to use: what the processor and the operating system offer, and what then computes a small
 * known answer exactly as the reference does. A processor (or an emulator) that claims more than it does is thus
 * found at start-up, not in a wrong text. */
#include "base/log.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/pack.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 }; /* SSE and YMM; and opmask, upper ZMM */

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

bool cpu_has_avx2(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    const unsigned need = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    if ((c & need) != need || (xcr0() & XCR0_AVX) != XCR0_AVX)
        return false;
    const unsigned need7 = bit_AVX2 | bit_BMI | bit_BMI2;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & need7) == need7;
}

bool cpu_has_avx512(void)
{
    unsigned a, b, c, d;
    if (!cpu_has_avx2() || (xcr0() & XCR0_AVX512) != XCR0_AVX512 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    const unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    return (b & need) == need && (c & bit_AVX512VNNI);
}

enum { TEST_ROWS = 3, TEST_COLS = 256, TEST_OUT = 24 };

/* One product of every weight type, on bytes from a fixed generator with scales kept finite. */
struct answer {
    struct step step;
    alignas(64) float x[TEST_ROWS][TEST_COLS];
    struct {
        int8_t q[TEST_COLS];
        struct q8_meta meta[TEST_COLS / UNIT_COLS];
    } q8[TEST_ROWS];
    alignas(64) uint8_t weights[2 * 16 * TEST_COLS * sizeof(float)];
    alignas(64) float expected[TEST_ROWS][2 * GROUP_ROWS], y[TEST_ROWS][2 * GROUP_ROWS];
};

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static void fill_activations(struct answer *t, uint32_t *state)
{
    t->step.n_rows = TEST_ROWS;
    for (int r = 0; r < TEST_ROWS; r++)
        for (int i = 0; i < TEST_COLS; i++) {
            struct q8_meta *m = &t->q8[r].meta[i / UNIT_COLS];
            int8_t q = (int8_t)((int)(next_random(state) >> 8) % 255 - 127);
            t->q8[r].q[i] = q;
            t->x[r][i] = (float)q * 0.01f;
            m->d = 0.01f * (float)(1 + i / UNIT_COLS);
            m->sum += q;
            m->sum_lo += i % UNIT_COLS < 16 ? q : 0;
            m->ds = m->d * (float)m->sum;
        }
}

/* Random bytes with bit 14 of every half cleared: no float or half among them is infinite or not a number. */
static void fill_weights(struct answer *t, uint32_t *state)
{
    for (size_t i = 0; i < sizeof t->weights; i++)
        t->weights[i] = (uint8_t)(next_random(state) >> 24) & (i % 2 ? 0xbf : 0xff);
}

static void product(const struct cpu_kernels *k, struct answer *t, const struct weight *w, float *y)
{
    const struct op_matmul op = {
        .y = (dptr)(uintptr_t)y, .ldy = 2 * GROUP_ROWS, .w = w, .step = (dptr)(uintptr_t)&t->step,
        .a = {.f32 = (dptr)(uintptr_t)t->x, .q8 = (dptr)(uintptr_t)t->q8},
    };
    const struct cpu_phase *phase = k->phase[CMD_MATMUL];
    int tiles = phase->tiles(&op, 1);
    for (int i = 0; i < tiles; i++)
        phase->run(&op, i, tiles, 0);
}

static bool self_test(const struct cpu_kernels *k)
{
    struct answer t;
    memset(&t, 0, sizeof t);
    uint32_t state = 1;
    fill_activations(&t, &state);
    for (enum dtype type = 0; type < DTYPE_COUNT; type++) {
        size_t group_bytes = TEST_COLS / (size_t)dtype_info(type)->block * packed_block_bytes(type);
        struct weight w = {type, TEST_OUT, TEST_COLS, group_bytes, t.weights, 2 * group_bytes};
        fill_weights(&t, &state);
        memset(t.y, 0, sizeof t.y);
        memset(t.expected, 0, sizeof t.expected);
        product(&cpu_kernels_ref, &t, &w, &t.expected[0][0]);
        product(k, &t, &w, &t.y[0][0]);
        if (memcmp(t.y, t.expected, sizeof t.y))
            return false;
    }
    return true;
}

int cpu_select(const char *isa, const struct cpu_candidate *candidates, int n_candidates,
               const struct cpu_kernels **out, struct err *e)
{
    *out = NULL;
    bool automatic = !isa || strcmp(isa, "auto") == 0;
    char known[64] = "auto";
    for (int i = 0; i < n_candidates; i++) {
        const struct cpu_candidate *c = &candidates[i];
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, ", %s", c->kernels->isa);
        if (!automatic && strcmp(isa, c->kernels->isa) != 0)
            continue;
        bool usable = !c->usable || c->usable();
        if (usable && self_test(c->kernels)) {
            *out = c->kernels;
            return 0;
        }
        if (!automatic)
            return err_set(e, OL_EUNSUPPORTED, "cpu", "instruction set %s %s", isa,
                           usable ? "gives wrong answers on this processor" : "is not available on this processor");
        if (usable)
            log_line(LOG_WARN, "cpu", "instruction set %s gives wrong answers on this processor: not used",
                     c->kernels->isa);
    }
    if (automatic)
        return err_set(e, OL_EUNSUPPORTED, "cpu", "no instruction set passes its self-test on this processor");
    return err_set(e, OL_EINVAL, "cpu", "unknown instruction set \"%s\": choose one of %s", isa, known);
}
