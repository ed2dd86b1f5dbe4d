/* Choice of the instruction set, and what is the same in all of them. */
#include "kernels/f32/f32.h"

#include "kernels/cpu/cpu.h"

#include <string.h>

int f32_select(const char *isa, const struct f32_kernels **out, struct err *e)
{
    static const struct {
        const struct f32_kernels *kernels;
        bool (*usable)(void);
    } sets[] = {{&f32_kernels_avx512, cpu_has_avx512}, {&f32_kernels_avx2, cpu_has_avx2}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if ((!isa || !strcmp(isa, sets[i].kernels->isa)) && sets[i].usable()) {
            *out = sets[i].kernels;
            return 0;
        }
    return err_set(e, OL_EUNSUPPORTED, "f32", "this processor has no %s: training and attribution by gradients need "
                   "AVX2 and FMA", isa ? isa : "AVX2");
}

/* As place_work in attention.inc.h lays it out, and what an outer product may read behind the last block. */
size_t f32_attention_floats(int64_t n, int32_t head_dim)
{
    int64_t keys = f32_panels(n) * F32_PANEL, dim = f32_panels(head_dim) * F32_PANEL;
    int64_t ld = (head_dim + F32_STRIP - 1) / F32_STRIP * F32_STRIP;
    return (size_t)(2 * keys * dim + 2 * keys * F32_ROWS + 4 * dim * F32_ROWS + 2 * ld * F32_ROWS + 2 * ld * keys +
                    F32_SLACK);
}

void f32_pack_panel(float *packed, int64_t panel, const float *rows, int64_t n_rows, int64_t row_floats, int64_t cols)
{
    int64_t padded = f32_panels(cols) * F32_PANEL;
    float *to = packed + panel * padded * F32_PANEL;
    for (int64_t k = 0; k < padded; k++, to += F32_PANEL)
        for (int64_t i = 0; i < F32_PANEL; i++)
            to[i] = i < n_rows && k < cols ? rows[i * row_floats + k] : 0.0f;
}
