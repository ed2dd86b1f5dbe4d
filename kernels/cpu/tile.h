/* How the rows of a phase are dealt to tiles: a few tiles per thread, so that a slow thread delays nobody. */
#ifndef OPENLORA_KERNELS_CPU_TILE_H
#define OPENLORA_KERNELS_CPU_TILE_H

enum { TILES_PER_THREAD = 4 };

struct span { int first, end; };

static inline int row_tiles(int rows, int threads)
{
    int most = threads * TILES_PER_THREAD;
    return rows < most ? rows : most;
}

/* The part of n items that falls to one tile of `tiles`. */
static inline struct span tile_span(int n, int tile, int tiles)
{
    return (struct span){(int)((long long)n * tile / tiles), (int)((long long)n * (tile + 1) / tiles)};
}

#endif
