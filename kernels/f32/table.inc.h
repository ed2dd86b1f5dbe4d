/* All float32 kernels of one instruction set, and their table. */
#include "kernels/f32/f32.h"

#include "kernels/cpu/vec.h"

#include <string.h>

#include "kernels/f32/product.inc.h"
#include "kernels/f32/rows.inc.h"
#include "kernels/f32/attention.inc.h"


const struct f32_kernels VEC(f32_kernels) = {
    .isa = VEC_REGISTERS == 32 ? "avx512" : "avx2",
    .product = product,
    .product_back = product_back,
    .outer = outer,
    .attention = attention,
    .attention_back = attention_back,
    .add = add_strip,
    .norm = norm,
    .norm_again = norm_again,
    .norm_back = norm_back,
    .rope = rope,
    .silu = silu,
    .silu_back = silu_back,
    .dropout = dropout,
    .largest = largest,
    .exp_sum = exp_sum,
    .scale_rows = scale_rows,
};
