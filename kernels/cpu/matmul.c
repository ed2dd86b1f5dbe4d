#include "kernels/cpu/matmul.h"

/* Tiles are handed out as threads ask for them: some per thread so that a thread that lost its core for a while
 * holds nobody up, but not so small that asking shows. */
enum { TILES_PER_THREAD = 4, MAX_TILE_BYTES = 512 << 10 };

static int row_tiles(const struct op_matmul *op)
{
    return (op_row_count(host(op->step), op->rows) + MATMUL_ROW_BLOCK - 1) / MATMUL_ROW_BLOCK;
}

int matmul_tiles(const void *arg, int threads)
{
    const struct op_matmul *op = arg;
    int64_t groups = weight_groups(op->w), tiles = (int64_t)threads * TILES_PER_THREAD;
    int64_t per_round = (int64_t)threads * MAX_TILE_BYTES;
    int64_t by_size = ((int64_t)op->w->bytes + per_round - 1) / per_round * threads;
    if (tiles < by_size)
        tiles = by_size;
    return (int)(tiles < groups ? tiles : groups) * row_tiles(op);
}

struct matmul_range matmul_range(const struct op_matmul *op, int tile, int tiles)
{
    int n_row = row_tiles(op), n_group = tiles / n_row, g = tile / n_row, r = tile % n_row;
    int64_t groups = weight_groups(op->w), rows = op_row_count(host(op->step), op->rows);
    return (struct matmul_range){
        groups * g / n_group, groups * (g + 1) / n_group, (int)(rows * r / n_row), (int)(rows * (r + 1) / n_row),
    };
}
