/* Scratch memory that an operation asks for at start, in bytes, for the largest step of the given limits. */
#ifndef OPENLORA_KERNELS_CPU_WORKSPACE_H
#define OPENLORA_KERNELS_CPU_WORKSPACE_H

#include "kernels/ops.h"

size_t cpu_attention_workspace(const struct kv_shape *kv, const struct step_limits *limits, int threads);
size_t cpu_sample_workspace(int32_t vocab, const struct step_limits *limits, int threads);

#endif
