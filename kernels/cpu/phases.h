/* Every phase of every instruction set, by name: X_ref is plain C from the contract, X_avx2 and X_avx512 are equal
 * to it bit for bit. The three tables (kernels_ref.c, kernels_avx2.c, kernels_avx512.c) list them; a further
 * instruction set is one more column here and one more table. */
#ifndef OPENLORA_KERNELS_CPU_PHASES_H
#define OPENLORA_KERNELS_CPU_PHASES_H

#include "kernels/cpu/cpu.h"

#define CPU_PHASE(name) extern const struct cpu_phase name##_ref, name##_avx2, name##_avx512

CPU_PHASE(copy_pages);
CPU_PHASE(embed);
CPU_PHASE(rope_table);
CPU_PHASE(add_norm);
CPU_PHASE(matmul);
CPU_PHASE(lora_shrink);
CPU_PHASE(lora_expand);
CPU_PHASE(rope_kv);
CPU_PHASE(attention);
CPU_PHASE(attention_fold);
CPU_PHASE(silu_mul);
CPU_PHASE(sample);

#undef CPU_PHASE

/* The table of one instruction set. */
#define CPU_KERNELS(set)                                        \
    const struct cpu_kernels cpu_kernels_##set = {              \
        .isa = #set,                                            \
        .phase = {                                              \
            [CMD_COPY_PAGES] = &copy_pages_##set,               \
            [CMD_EMBED] = &embed_##set,                         \
            [CMD_ROPE_TABLE] = &rope_table_##set,               \
            [CMD_ADD_NORM] = &add_norm_##set,                   \
            [CMD_MATMUL] = &matmul_##set,                       \
            [CMD_LORA_SHRINK] = &lora_shrink_##set,             \
            [CMD_LORA_EXPAND] = &lora_expand_##set,             \
            [CMD_ROPE_KV] = &rope_kv_##set,                     \
            [CMD_ATTENTION] = &attention_##set,                 \
            [CMD_ATTENTION_FOLD] = &attention_fold_##set,       \
            [CMD_SILU_MUL] = &silu_mul_##set,                   \
            [CMD_SAMPLE] = &sample_##set,                       \
        },                                                      \
    }

#endif
