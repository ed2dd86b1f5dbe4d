/* CUDA graphs: the operations of a step that comes again, recorded once and started by one call.
 *
 * A step that begins with `keep` is recorded instead of run; its commands are the recording's key. A later step whose
 * commands and bucket are the same is replayed: pointers and grids are in the graph, everything else is read from
 * device memory. Nothing else is ever recorded, since recording allocates. The shrink half of LoRA is a branch of the
 * graph, because the side stream joins the recording by its event. */
#include "kernels/cuda/stream.h"

#include <stdlib.h>
#include <string.h>

static bool same(const struct graph *g, const struct stream *s, int first, int n)
{
    return g->n == n && !memcmp(&g->bucket, &s->bucket, sizeof g->bucket) &&
           !memcmp(g->commands, &s->commands[first], (size_t)n * sizeof *g->commands);
}

static const struct graph *find(const struct stream *s, int first, int n)
{
    for (int i = 0; i < s->n_graphs; i++)
        if (same(&s->graphs[i], s, first, n))
            return &s->graphs[i];
    return NULL;
}

static cudaError_t record(struct stream *s, int first, int n, int *failed, cudaGraphExec_t *out)
{
    cudaGraph_t graph = NULL;
    cudaError_t rc = cudaStreamBeginCapture(s->main, cudaStreamCaptureModeThreadLocal);
    if (rc != cudaSuccess)
        return rc;
    rc = gpu_run(s, first, n, failed);
    cudaError_t ended = cudaStreamEndCapture(s->main, &graph); /* also after a failure: the stream must leave it */
    if (rc == cudaSuccess)
        rc = ended;
    if (rc == cudaSuccess)
        rc = cudaGraphInstantiate(out, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    return rc;
}

/* Without room for one more it is not kept: such steps are started operation by operation. */
cudaError_t gpu_keep(struct stream *s, int first, int n, int *failed)
{
    if (s->n_graphs == MAX_GRAPHS || find(s, first, n))
        return cudaSuccess;
    struct graph *g = &s->graphs[s->n_graphs];
    g->commands = malloc((size_t)n * sizeof *g->commands);
    if (!g->commands)
        return cudaErrorMemoryAllocation;
    memcpy(g->commands, &s->commands[first], (size_t)n * sizeof *g->commands);
    g->n = n;
    g->bucket = s->bucket;
    cudaError_t rc = record(s, first, n, failed, &g->exec);
    if (rc == cudaSuccess)
        rc = cudaGraphUpload(g->exec, s->main); /* else the first launch does it, and pays for it */
    if (rc != cudaSuccess) {
        free(g->commands);
        return rc;
    }
    s->n_graphs++;
    s->device->graphs++;
    return cudaSuccess;
}

cudaError_t gpu_replay(struct stream *s, int first, int n, int *failed)
{
    const struct graph *g = find(s, first, n);
    if (!g)
        return gpu_run(s, first, n, failed);
    s->device->replays++;
    return cudaGraphLaunch(g->exec, s->main);
}

void gpu_forget(struct stream *s)
{
    for (int i = 0; i < s->n_graphs; i++) {
        cudaGraphExecDestroy(s->graphs[i].exec);
        free(s->graphs[i].commands);
    }
    s->device->graphs -= s->n_graphs;
    s->n_graphs = 0;
}
