/* vectors.bin, read and written; see vectors.h. The host is little-endian, as all of the project. */
#include "attribution/vectors.h"

#include "base/buf.h"
#include "base/file_replace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "vectors"

static const char magic[8] = {'O', 'L', 'V', 'E', 'C', 'T', 'R', '1'};

struct header {
    char magic[8];
    uint32_t dimensions, n_blocks;
    uint64_t seed;
    int32_t exponent;
    uint32_t n;
    double clip_norm;
};
_Static_assert(sizeof(struct header) == 40 && sizeof(struct vectors_owner) == 24, "as they are in the file");

int vectors_owner_order(const struct vectors_owner *a, const struct vectors_owner *b)
{
    if (a->datanet != b->datanet)
        return a->datanet < b->datanet ? -1 : 1;
    return memcmp(a->address, b->address, ADDRESS_BYTES);
}

static size_t file_bytes(const struct header *h)
{
    return sizeof *h + 4 * (size_t)h->n_blocks + sizeof(struct vectors_owner) * h->n +
           2 * (size_t)h->n * h->dimensions;
}

static int check_header(const struct header *h, size_t bytes, struct err *e)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return err_set(e, OL_EFORMAT, MODULE, "not a file of contributor vectors");
    if (h->dimensions < 1 || h->dimensions > SKETCH_MAX_DIMENSIONS || h->n_blocks < 1 ||
        h->n_blocks > SKETCH_MAX_BLOCKS || h->n < 1 || h->n > VECTORS_MAX)
        return err_set(e, OL_EFORMAT, MODULE, "%u dimensions, %u blocks or %u contributors are out of range",
                       h->dimensions, h->n_blocks, h->n);
    if (h->exponent < -VECTOR_MAX_EXPONENT || h->exponent > VECTOR_MAX_EXPONENT)
        return err_set(e, OL_EFORMAT, MODULE, "the scale 2^%d is out of range", h->exponent);
    if (!isfinite(h->clip_norm) || !(h->clip_norm > 0))
        return err_set(e, OL_EFORMAT, MODULE, "rows clipped to a norm of %g", h->clip_norm);
    if (bytes != file_bytes(h))
        return err_set(e, OL_EFORMAT, MODULE, "%zu bytes; its header asks for %zu", bytes, file_bytes(h));
    return OL_OK;
}

static int read_blocks(const struct header *h, const uint32_t *dimensions, struct sketch *s, struct err *e)
{
    uint64_t sum = 0;
    *s = (struct sketch){.seed = h->seed, .n_blocks = h->n_blocks, .dimensions = h->dimensions};
    for (uint32_t l = 0; l < h->n_blocks; l++) {
        s->block_dimensions[l] = dimensions[l];
        sum += dimensions[l];
        if (!dimensions[l])
            return err_set(e, OL_EFORMAT, MODULE, "block %u has no dimensions", l);
    }
    return sum == h->dimensions ? OL_OK
                                : err_set(e, OL_EFORMAT, MODULE, "the blocks' dimensions are not %u", h->dimensions);
}

static int check_owners(const struct vectors_owner *owners, uint32_t n, struct err *e)
{
    static const uint8_t zero[ADDRESS_BYTES];
    for (uint32_t c = 0; c < n; c++) {
        if (memcmp(owners[c].address, zero, sizeof zero) == 0)
            return err_set(e, OL_EFORMAT, MODULE, "contributor %u has no address", c);
        if (c && vectors_owner_order(&owners[c - 1], &owners[c]) >= 0)
            return err_set(e, OL_EFORMAT, MODULE, "contributor %u is out of order", c);
    }
    return OL_OK;
}

static int add_squares(struct vectors *v, struct err *e)
{
    size_t k = v->sketch.dimensions;
    v->squares = calloc(v->n, sizeof *v->squares);
    if (!v->squares)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %u contributors", v->n);
    for (uint32_t c = 0; c < v->n; c++)
        for (size_t i = 0; i < k; i++) {
            int32_t value = v->values[c * k + i];
            if (value < -VECTOR_LIMIT)
                return err_set(e, OL_EFORMAT, MODULE, "contributor %u has a value of %d", c, value);
            v->squares[c] += (uint64_t)(value * value);
        }
    return OL_OK;
}

int vectors_parse(const void *bytes, size_t n, struct vectors *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    CHECK((uintptr_t)bytes % 4 == 0);
    struct header copy = {0}; /* its seed wants a multiple of eight */
    if (n < sizeof copy)
        return err_set(e, OL_EFORMAT, MODULE, "%zu bytes are no file of contributor vectors", n);
    memcpy(&copy, bytes, sizeof copy);
    int rc = check_header(&copy, n, e);
    if (rc)
        return rc;
    const uint32_t *dimensions = (const uint32_t *)((const char *)bytes + sizeof copy);
    out->exponent = copy.exponent;
    out->clip_norm = copy.clip_norm;
    out->n = copy.n;
    out->owners = (const struct vectors_owner *)(dimensions + copy.n_blocks);
    out->values = (const int16_t *)(out->owners + copy.n);
    rc = read_blocks(&copy, dimensions, &out->sketch, e);
    if (!rc)
        rc = check_owners(out->owners, out->n, e);
    if (!rc)
        rc = add_squares(out, e);
    if (rc)
        vectors_close(out);
    return rc;
}

int vectors_open(const char *path, struct vectors *out, struct err *e)
{
    struct file_map file;
    memset(out, 0, sizeof *out);
    int rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    rc = vectors_parse(file.data, file.len, out, e);
    if (rc) {
        file_map_deinit(&file);
        return err_prefix(e, "%s", path);
    }
    out->file = file;
    return OL_OK;
}

void vectors_close(struct vectors *v)
{
    free(v->squares);
    file_map_deinit(&v->file);
    memset(v, 0, sizeof *v);
}

int vectors_write(const char *path, const struct sketch *s, int32_t exponent, double clip_norm,
                  const struct vectors_owner *owners, const int16_t *values, uint32_t n, struct err *e)
{
    struct header h = {.dimensions = s->dimensions,
                       .n_blocks = s->n_blocks,
                       .seed = s->seed,
                       .exponent = exponent,
                       .n = n,
                       .clip_norm = clip_norm};
    struct buf out;
    struct vectors check;
    memcpy(h.magic, magic, sizeof magic);
    buf_init(&out, file_bytes(&h));
    buf_add(&out, &h, sizeof h);
    buf_add(&out, s->block_dimensions, 4 * (size_t)s->n_blocks);
    buf_add(&out, owners, sizeof *owners * n);
    buf_add(&out, values, 2 * (size_t)n * s->dimensions);
    int rc = buf_failed(&out) ? err_set(e, OL_ENOMEM, MODULE, "no memory for %u contributors", n) : OL_OK;
    if (!rc) /* what could not be read again is not written */
        rc = vectors_parse(out.data, out.len, &check, e);
    if (!rc) {
        vectors_close(&check);
        rc = file_replace(path, out.data, out.len, e);
    } else if (rc == OL_EFORMAT) {
        rc = err_set(e, OL_EINVAL, MODULE, "cannot write %s: the contributors are out of order or range", path);
    }
    buf_deinit(&out);
    return rc;
}
