/* copy_pages: for every entry of the step's copies list, in order:  page[dst] = page[src].
 *
 *              bytes of a page
 *          ├ slice 0 ┼ slice 1 ┼ … ┤            A block owns one slice of 16 KiB of every page, and each thread of it
 *   copy 0 │ block 0 │ block 1 │                the same 16-byte words of it throughout: whatever it reads for a later
 *   copy 1 │    ↓    │    ↓    │                copy, it wrote itself. So a page may be filled by one copy and be the
 *   …      │         │         │                source of a later one, and nobody waits for anybody.
 *
 * Usually the list is empty: how many copies there are is read from the device's own step, and a launch whose size does
 * not depend on it fits every step.
 *
 * Registers: WORDS · 4 for the words on their way; no shared memory.
 * Traffic: DRAM 2 · page_bytes · n_copies; L2 to SM page_bytes · n_copies.
 * Machine code: LDG.E.128, STG.E.128. */
#include "kernels/cuda/step.cuh"

enum { THREADS = 256, WORDS = 4, SLICE_BYTES = THREADS * WORDS * 16 };

KERNEL(THREADS, 4) k_copy_pages(struct step_view step, unsigned char *pool, size_t page_bytes)
{
    int32_t n = ldg(&step_head(step)->n_copies);
    size_t first = (size_t)blockIdx.x * SLICE_BYTES + threadIdx.x * 16;
    for (int32_t i = 0; i < n; i++) {
        const struct step_copy *copy = view_copies(step) + i;
        const unsigned char *src = pool + (size_t)ldg(&copy->src_page) * page_bytes;
        unsigned char *dst = pool + (size_t)ldg(&copy->dst_page) * page_bytes;
        int4 word[WORDS];
#pragma unroll
        for (int w = 0; w < WORDS; w++) /* all on their way before the first arrives */
            if (first + w * THREADS * 16 < page_bytes)
                word[w] = ld((const int4 *)(src + first + w * THREADS * 16));
#pragma unroll
        for (int w = 0; w < WORDS; w++)
            if (first + w * THREADS * 16 < page_bytes)
                st((int4 *)(dst + first + w * THREADS * 16), word[w]);
    }
}

cudaError_t gpu_copy_pages(const struct op_copy_pages *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    unsigned slices = (unsigned)((op->page_bytes + SLICE_BYTES - 1) / SLICE_BYTES);
    return LAUNCH(k_copy_pages, dim3(slices), dim3(THREADS), 0, stream, step_view_of(op->step, bucket),
                  GPU_POINTER(unsigned char, op->pool), op->page_bytes);
}
