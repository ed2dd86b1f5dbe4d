/* Operations that have no kernel yet: a step that uses one fails with cudaErrorNotSupported. The definitions are weak,
 * so that an operation's own file takes precedence. */
#include "kernels/cuda/gpu.h"

#define MISSING(name, op)                                                                                       \
    __attribute__((weak)) cudaError_t name(const struct op *o, const struct gpu_bucket *b, cudaStream_t stream) \
    {                                                                                                           \
        (void)o, (void)b, (void)stream;                                                                         \
        return cudaErrorNotSupported;                                                                           \
    }
MISSING(gpu_copy_pages, op_copy_pages)
MISSING(gpu_rope_table, op_rope_table)
MISSING(gpu_rope_kv, op_rope_kv)
MISSING(gpu_attention, op_attention)

__attribute__((weak)) size_t gpu_attention_workspace(const struct kv_shape *kv, const struct step_limits *limits)
{
    (void)kv, (void)limits;
    return 0;
}
