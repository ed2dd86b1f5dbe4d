#include "kernels/cpu/sample.h"
#include "kernels/cpu/workspace.h"

size_t cpu_sample_workspace(int32_t vocab, const struct step_limits *limits, int threads)
{
    (void)limits;
    return (size_t)threads * 2 * sample_scratch_floats(vocab) * sizeof(float);
}
