/* The CPU device's own parts: what device.c, stream.c, pack.c and select.c share. */
#ifndef OPENLORA_KERNELS_CPU_DEVICE_H
#define OPENLORA_KERNELS_CPU_DEVICE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/threads.h"

struct device {
    const struct cpu_kernels *kernels;
    struct pool *pool;
    struct memory memory;
};

/* select.c: the kernels to use. `isa` NULL or "auto": the first of `candidates` that is usable here and passes the
 * known-answer test; a name: that one or an error. */
struct cpu_candidate {
    const struct cpu_kernels *kernels;
    bool (*usable)(void); /* NULL: always */
};
int cpu_select(const char *isa, const struct cpu_candidate *candidates, int n_candidates,
               const struct cpu_kernels **out, struct err *e);

/* pack.c: device_ops.weight_load and weight_free. */
int cpu_weight_load(struct device *d, const struct weight_part *parts, int n_parts, struct weight **out, struct err *e);
void cpu_weight_free(struct device *d, struct weight *w);

/* stream.c: the stream half of device_ops. */
int cpu_stream_open(struct device *d, struct stream **out, struct err *e);
void cpu_stream_close(struct stream *s);
void cpu_begin(struct stream *s, const struct step *host, bool keep); /* nothing to do: sizes are read when the step runs */
void cpu_copy_in(struct stream *s, dptr dst, const void *src, size_t bytes);
void cpu_copy_out(struct stream *s, void *dst, dptr src, size_t bytes);
void cpu_copy_pages(struct stream *s, const struct op_copy_pages *op);
void cpu_embed(struct stream *s, const struct op_embed *op);
void cpu_rope_table(struct stream *s, const struct op_rope_table *op);
void cpu_add_norm(struct stream *s, const struct op_add_norm *op);
void cpu_matmul(struct stream *s, const struct op_matmul *op);
void cpu_lora(struct stream *s, const struct op_lora *op);
void cpu_rope_kv(struct stream *s, const struct op_rope_kv *op);
void cpu_attention(struct stream *s, const struct op_attention *op);
void cpu_silu_mul(struct stream *s, const struct op_silu_mul *op);
void cpu_sample(struct stream *s, const struct op_sample *op);
int cpu_submit(struct stream *s, uint64_t *ticket, struct err *e);
int cpu_wait(struct stream *s, uint64_t ticket, struct err *e);

#endif
