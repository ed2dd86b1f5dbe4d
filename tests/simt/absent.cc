/* What the emulated plugin says of operations whose file is not part of the build: weak definitions that any real one
 * replaces. So a kernel's test runs before all other kernels are there. */
#include "kernels/cuda/gpu.h"

#define ABSENT(name, op)                                                                               \
    __attribute__((weak)) cudaError_t name(const struct op *, const struct gpu_bucket *, cudaStream_t) \
    {                                                                                                  \
        return cudaErrorNotSupported;                                                                  \
    }
ABSENT(gpu_copy_pages, op_copy_pages)
ABSENT(gpu_embed, op_embed)
ABSENT(gpu_rope_table, op_rope_table)
ABSENT(gpu_add_norm, op_add_norm)
ABSENT(gpu_matmul, op_matmul)
ABSENT(gpu_lora_shrink, op_lora)
ABSENT(gpu_lora_expand, op_lora)
ABSENT(gpu_rope_kv, op_rope_kv)
ABSENT(gpu_attention, op_attention)
ABSENT(gpu_silu_mul, op_silu_mul)
ABSENT(gpu_sample, op_sample)

__attribute__((weak)) size_t gpu_attention_workspace(const struct kv_shape *, const struct step_limits *) { return 64; }
__attribute__((weak)) size_t gpu_sample_workspace(int32_t, const struct step_limits *) { return 64; }

__attribute__((weak)) int gpu_weight_load(struct device *, const struct weight_part *, int, struct weight **, struct err *)
{
    return OL_EUNSUPPORTED;
}
__attribute__((weak)) void gpu_weight_free(struct device *, struct weight *) {}
