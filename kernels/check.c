/* Arguments of operations, checked when they are enqueued: null pointers, alignment, shapes that do not fit
 * together. Everything here is our own engine's doing, so messages name the argument and no more. */
#include "kernels/check.h"

#define REQUIRE(condition, message) \
    do {                            \
        if (!(condition))           \
            return message;         \
    } while (0)

/* A float32 matrix with rows of at least `cols` elements. */
static bool bad_matrix(dptr p, int64_t ld, int64_t cols)
{
    return !p || p % 64 || ld < pad_cols(cols) || ld % 16;
}

/* A float32 matrix that begins at some column of a wider one. */
static bool bad_slice(dptr p, int64_t ld, int64_t cols)
{
    return !p || p % 4 || ld < cols || ld % 16;
}

static const char *check_out(const struct act *out, int64_t cols)
{
    REQUIRE(out->f32, "out.f32 is null");
    REQUIRE(out->f32 % 64 == 0 && out->q8 % 64 == 0, "out is not 64-byte aligned");
    REQUIRE(!out->q8 || q8_row_bytes(cols), "out.q8 needs cols in multiples of 32");
    return NULL;
}

static const char *check_kv(const struct kv_shape *kv)
{
    REQUIRE(kv->n_layers > 0 && kv->n_heads > 0 && kv->n_kv_heads > 0, "kv shape is empty");
    REQUIRE(kv->n_heads % kv->n_kv_heads == 0, "n_heads is not a multiple of n_kv_heads");
    REQUIRE(kv->head_dim > 0 && kv->head_dim <= MAX_HEAD_DIM, "head_dim is not in 1 .. MAX_HEAD_DIM");
    REQUIRE(kv->page_bytes / (size_t)kv->n_layers >= kv_layer_bytes(kv), "page_bytes holds less than all layers");
    return NULL;
}

const char *check_copy(dptr dst, dptr src, size_t bytes)
{
    REQUIRE(!bytes || (dst && src), "source or destination is null");
    return NULL;
}

const char *check_copy_pages(const struct op_copy_pages *op)
{
    REQUIRE(op->step && op->pool, "step or pool is null");
    REQUIRE(op->page_bytes, "page_bytes is 0");
    return NULL;
}

const char *check_embed(const struct op_embed *op, const struct weight_shape *w)
{
    REQUIRE(op->step && w, "step or weight is null");
    REQUIRE(!bad_matrix(op->y, op->ldy, w->cols), "y is null, unaligned or too narrow");
    return NULL;
}

const char *check_rope_table(const struct op_rope_table *op)
{
    REQUIRE(op->step && op->out && op->inv_freq, "step, out or inv_freq is null");
    REQUIRE(op->half > 0 && op->half <= MAX_HEAD_DIM / 2, "half is not in 1 .. MAX_HEAD_DIM / 2");
    return NULL;
}

const char *check_add_norm(const struct op_add_norm *op)
{
    REQUIRE(op->step && op->gain, "step or gain is null");
    REQUIRE(op->cols > 0, "cols is not positive");
    REQUIRE(!bad_matrix(op->x, op->ldx, op->cols), "x is null, unaligned or too narrow");
    REQUIRE(!op->y || !bad_matrix(op->y, op->ldy, op->cols), "y is unaligned or too narrow");
    return check_out(&op->out, op->cols);
}

const char *check_matmul(const struct op_matmul *op, const struct weight_shape *w)
{
    REQUIRE(op->step && w, "step or weight is null");
    REQUIRE(!bad_slice(op->y, op->ldy, w->rows), "y is null, unaligned or too narrow");
    REQUIRE(op->bias % 4 == 0, "bias is unaligned");
    REQUIRE(op->rows == ROWS_ALL || op->rows == ROWS_LOGITS, "rows is neither ROWS_ALL nor ROWS_LOGITS");
    dptr a = dtype_is_quantized(w->dtype) ? op->a.q8 : op->a.f32;
    REQUIRE(a, "the activations that this weight type needs are null");
    REQUIRE(a % 16 == 0, "activations are unaligned");
    return NULL;
}

const char *check_lora(const struct op_lora *op)
{
    REQUIRE(op->step && op->pool && op->workspace, "step, pool or workspace is null");
    REQUIRE(op->y && op->x && op->ldx % 16 == 0 && op->ldy % 16 == 0, "x or y is null or unaligned");
    REQUIRE(op->layer >= 0 && op->layer < op->n_layers, "layer is out of range");
    REQUIRE(op->n_targets >= 1 && op->n_targets <= 3, "n_targets is not in 1 .. 3");
    REQUIRE(op->page_bytes, "page_bytes is 0");
    for (int i = 0; i < op->n_targets; i++) {
        REQUIRE(op->targets[i].target >= 0 && op->targets[i].target < LORA_TARGETS, "unknown target");
        REQUIRE(op->targets[i].in > 0 && op->targets[i].out > 0 && op->targets[i].col0 >= 0, "target shape is empty");
        REQUIRE(op->targets[i].in <= op->ldx, "x is narrower than a target's input");
        REQUIRE((int64_t)op->targets[i].col0 + op->targets[i].out <= op->ldy, "y is narrower than a target's output");
    }
    return NULL;
}

const char *check_rope_kv(const struct op_rope_kv *op)
{
    REQUIRE(op->step && op->pool && op->table, "step, pool or table is null");
    const char *problem = check_kv(&op->kv);
    REQUIRE(!problem, problem);
    REQUIRE(op->kv.head_dim % 2 == 0, "head_dim is odd");
    REQUIRE(op->layer >= 0 && op->layer < op->kv.n_layers, "layer is out of range");
    int64_t cols = (int64_t)(op->kv.n_heads + 2 * (int64_t)op->kv.n_kv_heads) * op->kv.head_dim;
    REQUIRE(!bad_matrix(op->qkv, op->ld, cols), "qkv is null, unaligned or too narrow");
    return NULL;
}

const char *check_attention(const struct op_attention *op)
{
    REQUIRE(op->step && op->pool && op->workspace, "step, pool or workspace is null");
    const char *problem = check_kv(&op->kv);
    REQUIRE(!problem, problem);
    REQUIRE(op->layer >= 0 && op->layer < op->kv.n_layers, "layer is out of range");
    int64_t cols = (int64_t)op->kv.n_heads * op->kv.head_dim;
    REQUIRE(!bad_matrix(op->qkv, op->ld, cols), "qkv is null, unaligned or too narrow");
    return check_out(&op->out, cols);
}

const char *check_silu_mul(const struct op_silu_mul *op)
{
    REQUIRE(op->step, "step is null");
    REQUIRE(op->cols > 0, "cols is not positive");
    REQUIRE(!bad_matrix(op->gu, op->ld, 2 * op->cols), "gu is null, unaligned or too narrow");
    return check_out(&op->out, op->cols);
}

const char *check_sample(const struct op_sample *op)
{
    REQUIRE(op->step && op->results && op->workspace, "step, results or workspace is null");
    REQUIRE(op->vocab > 0, "vocab is not positive");
    REQUIRE(!bad_matrix(op->logits, op->ld, op->vocab), "logits is null, unaligned or too narrow");
    return NULL;
}

int check_weight_part(const struct weight_part *p, const struct weight_part *first, const char *module, struct err *e)
{
    const char *problem = NULL;
    size_t row_bytes = p->dtype < DTYPE_COUNT ? dtype_row_bytes(p->dtype, p->cols) : 0, need;
    if (p->dtype != first->dtype || p->cols != first->cols)
        problem = "its type or width differs from the tensor it is stacked with";
    else if (!row_bytes || p->rows <= 0 || p->rows > INT32_MAX || p->cols > INT32_MAX)
        problem = "its shape does not suit its type";
    else if (__builtin_mul_overflow(row_bytes, (size_t)p->rows, &need) || !p->data || p->bytes < need)
        problem = "its data is too short for its shape";
    else if (p->unpermute_heads < 0 || (p->unpermute_heads && p->rows % (2 * (int64_t)p->unpermute_heads)))
        problem = "its rows cannot be divided into heads of pairs";
    if (!problem)
        return 0;
    return err_set(e, OL_EFORMAT, module, "tensor %s (%lld x %lld): %s", p->name ? p->name : "?", (long long)p->rows,
                   (long long)p->cols, problem);
}
