/* Inside the CUDA backend: what its host files (device.c, stream.c, graph.c, pack.c) and its kernels (*.cu) share.
 *
 * A kernel file holds one operation: the kernel, written in the dialect (dialect.cuh), and its launcher, a C function
 * that turns struct op_* and the bucket into a grid and starts it. Launchers check nothing: kernels/check.c did.
 *
 * Launch sizes and pointers depend on struct gpu_bucket alone; how many rows there really are, and whose, a kernel
 * reads from the step in device memory, and blocks without work return. That is what lets one CUDA graph per bucket
 * serve every step that fits it. */
#ifndef OPENLORA_KERNELS_CUDA_GPU_H
#define OPENLORA_KERNELS_CUDA_GPU_H

#include "kernels/ops.h"

#include <cuda_runtime_api.h>
#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Upper bounds of a step (kernels/bucket.h). */
struct gpu_bucket {
    int32_t rows;     /* 1, 2, 4, 8, 16, 32, … */
    int32_t logits;   /* the same, or 0 */
    int32_t seqs;     /* the same */
    int32_t segments; /* of one adapter; 0: the step has none, else as seqs */
    int32_t seq_rows; /* most rows of one sequence: 1 in a decode step, else as rows */
    int32_t splits;   /* most ATTENTION_SPLITs of context that a sequence has: 1, 4, 16, … */
    bool tensor_attention; /* of the device */
    struct step_layout layout;
};

/* Launchers: enqueue on `stream`, and report what the launch itself reports. */
cudaError_t gpu_copy_pages(const struct op_copy_pages *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_embed(const struct op_embed *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_rope_table(const struct op_rope_table *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_add_norm(const struct op_add_norm *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_matmul(const struct op_matmul *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_lora_shrink(const struct op_lora *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_lora_expand(const struct op_lora *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_rope_kv(const struct op_rope_kv *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_attention(const struct op_attention *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_silu_mul(const struct op_silu_mul *, const struct gpu_bucket *, cudaStream_t stream);
cudaError_t gpu_sample(const struct op_sample *, const struct gpu_bucket *, cudaStream_t stream);

size_t gpu_attention_workspace(const struct kv_shape *, const struct step_limits *);
size_t gpu_sample_workspace(int32_t vocab, const struct step_limits *);

/* Pointers to device memory, as launchers hand them to kernels. */
#define GPU_POINTER(type, address) ((type *)(uintptr_t)(address))

struct device {
    int index;
    int sms;
    size_t shared_bytes; /* most dynamic shared memory of one block */
    size_t memory_bytes, allocated_bytes;
    uint64_t memory_bytes_s; /* by the data sheet */
    char name[64], isa[16];
    bool tensor_attention; /* prompts on tensor cores: device_config.fast */
    struct gpu_blas *blas; /* products by cuBLASLt: device_config.fast, else NULL */
    int graphs;          /* held */
    uint64_t replays;    /* steps that were started from a graph */
    pthread_mutex_t mutex; /* of the list and its sum */
    struct allocation *allocations;
    bool lost;           /* a fault is for ever: every later call fails */
    char why_lost[160];
};

const struct device_ops *device_cuda(void);

/* device.c: makes `d` the calling thread's device, or tells that it is lost. */
int gpu_use(struct device *d, struct err *e);
/* Turns a failed call into an error; a fault of the device marks it lost. `doing`: "copying 12 bytes to the GPU". */
int gpu_error(struct device *d, cudaError_t rc, const char *doing, struct err *e);

/* memory.c: the memory half of device_ops. */
int gpu_alloc(struct device *d, size_t bytes, dptr *out, struct err *e);
void gpu_free(struct device *d, dptr p);
void gpu_forget_memory(struct device *d); /* when the device is closed: what was not freed goes with the process */
int gpu_host_alloc(struct device *d, size_t bytes, void **out, struct err *e);
void gpu_host_free(struct device *d, void *p);
int gpu_download(struct device *d, void *dst, dptr src, size_t bytes, struct err *e);
int gpu_upload(struct device *d, dptr dst, const void *src, size_t bytes, struct err *e);

/* pack.c */
int gpu_weight_load(struct device *d, const struct weight_part *parts, int n_parts, struct weight **out, struct err *e);
void gpu_weight_free(struct device *d, struct weight *w);

/* stream.c: the stream half of device_ops. */
int gpu_stream_open(struct device *d, struct stream **out, struct err *e);
void gpu_stream_close(struct stream *s);
void gpu_enqueue_begin(struct stream *s, const struct step *host, bool keep);
void gpu_enqueue_copy_in(struct stream *s, dptr dst, const void *src, size_t bytes);
void gpu_enqueue_copy_out(struct stream *s, void *dst, dptr src, size_t bytes);
void gpu_enqueue_copy_pages(struct stream *s, const struct op_copy_pages *op);
void gpu_enqueue_embed(struct stream *s, const struct op_embed *op);
void gpu_enqueue_rope_table(struct stream *s, const struct op_rope_table *op);
void gpu_enqueue_add_norm(struct stream *s, const struct op_add_norm *op);
void gpu_enqueue_matmul(struct stream *s, const struct op_matmul *op);
void gpu_enqueue_lora(struct stream *s, const struct op_lora *op);
void gpu_enqueue_rope_kv(struct stream *s, const struct op_rope_kv *op);
void gpu_enqueue_attention(struct stream *s, const struct op_attention *op);
void gpu_enqueue_silu_mul(struct stream *s, const struct op_silu_mul *op);
void gpu_enqueue_sample(struct stream *s, const struct op_sample *op);
int gpu_submit(struct stream *s, uint64_t *ticket, struct err *e);
int gpu_wait(struct stream *s, uint64_t ticket, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
