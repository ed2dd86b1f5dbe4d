/* Inside the CPU device: what its files share.
 *
 * A stream is an array of commands. On `wait` every compute thread walks the same array; for each command the
 * threads take tiles from a shared counter until none are left, then meet at a barrier. A tile never depends on
 * another tile of the same command; splitting is over outputs only, so results do not depend on who took what. An
 * operation with two dependent phases is two commands.
 *
 * Each instruction set is one `struct cpu_kernels`. The reference (isa "ref") is plain C, written straight from
 * the contract in ops.h and sharing no arithmetic with the others; avx2 and avx512 share sources where only the
 * vector type differs (vec.h: 16 float lanes), compiled once per instruction set. */
#ifndef OPENLORA_KERNELS_CPU_H
#define OPENLORA_KERNELS_CPU_H

#include "kernels/dequant.h"
#include "kernels/ops.h"

enum cpu_command {
    CMD_COPY_IN, CMD_COPY_OUT, CMD_COPY_PAGES, CMD_EMBED, CMD_ROPE_TABLE, CMD_ADD_NORM, CMD_MATMUL,
    CMD_LORA_SHRINK, CMD_LORA_EXPAND, CMD_ROPE_KV, CMD_ATTENTION, CMD_ATTENTION_FOLD, CMD_SILU_MUL, CMD_SAMPLE,
    CMD_COUNT
};

struct op_copy { dptr dst; const void *src; size_t bytes; };

/* One phase of one operation. `op` points to the op_* struct given when it was enqueued (op_lora and op_attention
 * serve both of their phases). */
struct cpu_phase {
    int (*tiles)(const void *op, int threads);              /* how many tiles this step needs; 0 = nothing to do */
    void (*run)(const void *op, int tile, int tiles, int worker); /* worker: 0 .. threads−1, for scratch */
};

struct cpu_kernels {
    const char *isa;
    const struct cpu_phase *phase[CMD_COUNT]; /* CMD_COPY_IN/OUT are the device's own: NULL */
};

extern const struct cpu_kernels cpu_kernels_ref, cpu_kernels_avx2, cpu_kernels_avx512;

/* Is this instruction set usable here (CPUID and the operating system's XCR0)? */
bool cpu_has_avx2(void);   /* AVX2, FMA, F16C */
bool cpu_has_avx512(void); /* AVX-512 F, BW, VL, DQ, VNNI */

static inline void *host(dptr p) { return (void *)(uintptr_t)p; }

/* Weights of every type are packed alike: groups of 16 rows, blocks along the columns ascending, the 16 rows of a
 * block interleaved so that one vector lane is one row. rows are padded to 16 with zeros. pack.h gives each
 * type's block. */
struct weight {
    enum dtype dtype;
    int64_t rows, cols;      /* as loaded, before padding */
    size_t group_bytes;      /* one group of 16 rows, all columns */
    unsigned char *data;     /* (ceil(rows/16)) groups, 64-byte aligned */
    size_t bytes;
};

static inline int op_row_count(const struct step *s, enum op_rows rows)
{
    return rows == ROWS_ALL ? s->n_rows : s->n_logits;
}

#endif
