/* Products by register tiles; compiled once per instruction set.
 *
 * A tile is TILE_ROWS outputs by TILE_VECS vectors of rows: an output's weight is broadcast and meets all rows. Which
 * neighbours are read as weights differs between the three products, the tile is the same: */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

#if VEC_REGISTERS == 32
enum { TILE_ROWS = 12, TILE_VECS = 2 };
#else
enum { TILE_ROWS = 6, TILE_VECS = 1 };
#endif

enum { DEPTH = 4 * F32_CHAIN };

/* acc[i][v] += w[i · wi + k · wk] · x[k · xk + 16 · v], k = 0 … n−1. wi and wk are constants once inlined. */
INLINE void chain(vf acc[TILE_ROWS][TILE_VECS], const int vecs, const float *w, const int64_t wi, const int64_t wk,
                  const float *x, const int64_t xk, int64_t n)
{
    for (int64_t k = 0; k < n; k++, w += wk, x += xk) {
        vf row[TILE_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            row[v] = v_load(x + v * LANES);
        UNROLL for (int i = 0; i < TILE_ROWS; i++) {
            vf weight = v_set1(w[i * wi]);
            UNROLL for (int v = 0; v < vecs; v++)
                acc[i][v] = v_fma(weight, row[v], acc[i][v]);
        }
    }
}

INLINE void clear(vf acc[TILE_ROWS][TILE_VECS])
{
    UNROLL for (int i = 0; i < TILE_ROWS; i++)
        UNROLL for (int v = 0; v < TILE_VECS; v++)
            acc[i][v] = v_zero();
}

/* y += the tile, or y = bias + the tile; the first n outputs of it. */
INLINE void put(float *y, vf acc[TILE_ROWS][TILE_VECS], const int vecs, int64_t n, bool add, const float *bias)
{
    UNROLL for (int i = 0; i < TILE_ROWS; i++) {
        float *to = y + i * F32_ROWS;
        if (i >= n)
            continue;
        if (add)
            UNROLL for (int v = 0; v < vecs; v++)
                v_store(to + v * LANES, v_add(v_load(to + v * LANES), acc[i][v]));
        else
            UNROLL for (int v = 0; v < vecs; v++)
                v_store(to + v * LANES, v_add(bias ? v_set1(bias[i]) : v_zero(), acc[i][v]));
    }
}

struct tile {
    const float *w, *x; /* at the tile's first output and term */
    float *y;
    const float *bias;
    int64_t outputs, terms;
    int64_t panel_floats; /* backward: distance of two panels */
    bool add;
};

/* Forward: terms are columns; a panel holds 12 outputs side by side. */
INLINE void forward_tile(const struct tile *t, const int vecs)
{
    for (int64_t k = 0; k < t->terms; k += F32_CHAIN) {
        vf acc[TILE_ROWS][TILE_VECS];
        clear(acc);
        chain(acc, vecs, t->w + k * F32_PANEL, 1, F32_PANEL, t->x + k * F32_ROWS, F32_ROWS,
              t->terms - k < F32_CHAIN ? t->terms - k : F32_CHAIN);
        put(t->y, acc, vecs, t->outputs, t->add || k, t->bias);
    }
}

/* Backward: terms are rows, 12 side by side in each panel; outputs are neighbouring columns, 12 floats apart. */
INLINE void backward_tile(const struct tile *t, const int vecs)
{
    const float *w = t->w, *x = t->x;
    for (int64_t k = 0; k < t->terms; k += F32_CHAIN) {
        int64_t left = t->terms - k < F32_CHAIN ? t->terms - k : F32_CHAIN;
        vf acc[TILE_ROWS][TILE_VECS];
        clear(acc);
        for (; left > 0; left -= F32_PANEL, w += t->panel_floats, x += F32_PANEL * F32_ROWS) {
            for (int64_t line = 0; line < F32_PANEL * F32_PANEL; line += 16) /* the next outputs' piece */
                __builtin_prefetch(w + F32_PANEL * F32_PANEL + line);
            chain(acc, vecs, w, F32_PANEL, 1, x, F32_ROWS, left < F32_PANEL ? left : F32_PANEL);
        }
        put(t->y, acc, vecs, t->outputs, t->add || k, NULL);
    }
}

/* A panel's 12 outputs of one block, `lanes` rows of it (16 or 32). wi: distance of two outputs' weights. */
INLINE void panel_tiles(struct tile t, int lanes, const int64_t wi, const bool backward)
{
    for (int i = 0; i < F32_PANEL && i < t.outputs; i += TILE_ROWS) {
        struct tile part = t;
        part.w += i * wi;
        part.y += i * F32_ROWS;
        part.bias = t.bias ? t.bias + i : NULL;
        part.outputs -= i;
        for (int lane = 0; lane < lanes; lane += TILE_VECS * LANES, part.x += TILE_VECS * LANES,
                 part.y += TILE_VECS * LANES) {
            if (lanes - lane >= TILE_VECS * LANES)
                backward ? backward_tile(&part, TILE_VECS) : forward_tile(&part, TILE_VECS);
            else
                backward ? backward_tile(&part, 1) : forward_tile(&part, 1);
        }
    }
}

static inline int block_lanes(int64_t n, int64_t block) { return n - block * F32_ROWS > LANES ? F32_ROWS : LANES; }

/* DEPTH terms of all blocks and panels at a time: what they need of x and y stays in the second-level cache. */
static void product(const struct f32_product *p, struct f32_range panels, struct f32_range blocks)
{
    int64_t panel_floats = f32_panels(p->cols) * F32_PANEL * F32_PANEL;
    for (int64_t k = 0; k < p->cols; k += DEPTH)
        for (int64_t panel = panels.first; panel < panels.end; panel++)
            for (int64_t block = blocks.first; block < blocks.end; block++) {
                int64_t out = panel * F32_PANEL;
                struct tile t = {.w = p->w + panel * panel_floats + k * F32_PANEL,
                                 .x = p->x + block * p->x_stride + k * F32_ROWS,
                                 .y = p->y + block * p->y_stride + out * F32_ROWS,
                                 .bias = p->bias ? p->bias + out : NULL, .outputs = p->rows - out,
                                 .terms = p->cols - k < DEPTH ? p->cols - k : DEPTH, .add = p->add || k};
                panel_tiles(t, block_lanes(p->n, block), 1, false);
            }
}

static void product_back(const struct f32_product *p, struct f32_range panels, struct f32_range blocks)
{
    int64_t panel_floats = f32_panels(p->cols) * F32_PANEL * F32_PANEL;
    for (int64_t k = 0; k < p->rows; k += DEPTH)
        for (int64_t panel = panels.first; panel < panels.end; panel++)
            for (int64_t block = blocks.first; block < blocks.end; block++) {
                int64_t out = panel * F32_PANEL;
                struct tile t = {.w = p->w + k / F32_PANEL * panel_floats + out * F32_PANEL,
                                 .x = p->x + block * p->x_stride + k * F32_ROWS,
                                 .y = p->y + block * p->y_stride + out * F32_ROWS, .outputs = p->cols - out,
                                 .terms = p->rows - k < DEPTH ? p->rows - k : DEPTH,
                                 .panel_floats = panel_floats, .add = p->add || k};
                panel_tiles(t, block_lanes(p->n, block), F32_PANEL, true);
            }
}

/* Adds a finished tile of an outer product where its elements belong; at most one panel by `vecs` vectors. */
INLINE void put_outer(const struct f32_outer *o, int64_t f, int64_t r, vf acc[TILE_ROWS][TILE_VECS], const int vecs)
{
    float sums[LANES];
    UNROLL for (int i = 0; i < TILE_ROWS; i++)
        UNROLL for (int v = 0; v < vecs; v++) {
            if (f + i >= o->features)
                continue;
            int64_t first = r + v * LANES, n = o->cols - first < LANES ? o->cols - first : LANES;
            float *to = o->out + (f + i) * o->f_step + first * o->r_step;
            vf sum = v_mul(acc[i][v], v_set1(o->scale));
            if (o->r_step == 1) {
                v_store_upto(to, v_add(v_load_upto(to, (int)n), sum), (int)n);
                continue;
            }
            v_store(sums, sum);
            for (int64_t j = 0; j < n; j++)
                to[j * o->r_step] += sums[j];
        }
}

/* Terms are rows: a feature's rows are neighbours within a block, features 32 floats apart. The last tile of
 * features may reach past them: F32_SLACK floats behind u are read and not used. */
INLINE void outer_tile(const struct f32_outer *o, int64_t f, int64_t r, struct f32_range rows, const int vecs)
{
    vf acc[TILE_ROWS][TILE_VECS];
    clear(acc);
    for (int64_t row = rows.first; row < rows.end;) {
        int64_t lane = row % F32_ROWS, n = F32_ROWS - lane;
        n = rows.end - row < n ? rows.end - row : n;
        chain(acc, vecs, o->u + row / F32_ROWS * o->u_stride + f * F32_ROWS + lane, F32_ROWS, 1,
              o->v + row * o->v_ld + r, o->v_ld, n);
        row += n;
    }
    put_outer(o, f, r, acc, vecs);
}

static void outer(const struct f32_outer *o, struct f32_range panels, struct f32_range rows)
{
    for (int64_t f = panels.first * F32_PANEL; f < panels.end * F32_PANEL && f < o->features; f += TILE_ROWS)
        for (int64_t r = 0; r < o->cols; r += TILE_VECS * LANES) {
            if (o->cols - r > LANES * (TILE_VECS - 1))
                outer_tile(o, f, r, rows, TILE_VECS);
            else
                outer_tile(o, f, r, rows, 1);
        }
}
