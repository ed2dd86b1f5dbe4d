/* Counted traffic: what kernels move and do, by kernel. For tests (through dlsym where the emulator is inside the plugin),
 * and as JSON at the end of the process: OPENLORA_SIMT_TRAFFIC=FILE.
 *
 * The model:
 *  - A request is one memory instruction of a warp: the lanes' n-th passage at one line of the source since they last met
 *    are one request. It moves the 32-byte sectors that its lanes touch, each once.
 *  - ld and ldg keep sectors in an L1 of 64 KiB for their block, first in first out; ldg_stream and 16-byte cp_async go
 *    past it. What L1 does not have comes from L2: l2_bytes.
 *  - L2 is cold when a launch begins and as large as the GPU says, first in first out. A sector that a launch reads and
 *    did not touch before comes from DRAM, one that it writes goes there once.
 *  - Shared memory has 32 banks of 4 bytes; a request of 8- or 16-byte accesses, or an ldmatrix, is two, four or as many
 *    parts as matrices. A part takes as many wavefronts as different words of one bank that it touches; one is least. */
#ifndef SIMT_TRAFFIC_H
#define SIMT_TRAFFIC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct simt_traffic {
    uint64_t launches, blocks;
    /* Global memory, bytes. */
    uint64_t load_bytes;        /* as the lanes asked for them, cp_async included */
    uint64_t load_sector_bytes; /* in sectors of requests */
    uint64_t l2_bytes;          /* L2 to SM */
    uint64_t dram_read_bytes, dram_write_bytes;
    uint64_t store_bytes, store_sector_bytes; /* as asked; in sectors: SM to L2 */
    /* Shared memory. */
    uint64_t shared_parts, shared_wavefronts; /* equal: no bank conflicts */
    /* Instructions, by warp. */
    uint64_t loads, stores, atomics, copies, shared_loads, shared_stores, ldmatrix;
    uint64_t mma_s8, mma_f16, mma_bf16, shuffles, votes, syncwarps, barriers;
};

#define SIMT_EXPORT __attribute__((visibility("default")))

/* Begins to count from zero; ends. Kernels that run between are counted, on one thread. */
SIMT_EXPORT void simt_traffic_start(void);
SIMT_EXPORT void simt_traffic_stop(void);
/* Sums over all kernels whose name begins with `kernel` ("" for all); returns how many kernels that are. */
SIMT_EXPORT int simt_traffic_get(const char *kernel, struct simt_traffic *out);
/* An object by kernel name; 0, or −1 with errno. */
SIMT_EXPORT int simt_traffic_dump(const char *path);

#ifdef __cplusplus
}
#endif
#endif
