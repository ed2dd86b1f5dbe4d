/* Adapters of both formats: the image holds every value where kernels/lora_image.h says, whatever the rank, type and
 * row order; each fault is refused with the culprit's name. */
#include "kernels/cpu/f16.h"
#include "kernels/ops.h"
#include "model/adapter_file.h"
#include "tiny_model.h"

#include <math.h>

/* A model of odd sizes: nothing but the configuration is needed. */
static const struct model_config model = {
    .arch = "llama", .n_layers = 2, .hidden = 40, .n_heads = 4, .n_kv_heads = 2, .head_dim = 8, .ffn = 72, .vocab = 48,
    .context = 128,
};
enum { Q_OUT = 32, K_OUT = 16, PAGE = 12288 };

#define PEFT_CONFIG                                                                                                   \
    "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"q_proj\"],\"bias\":\"none\","             \
    "\"use_rslora\":false,\"use_dora\":false,\"fan_in_fan_out\":false,\"rank_pattern\":{},\"alpha_pattern\":{},"      \
    "\"modules_to_save\":null,\"init_lora_weights\":true,\"lora_dropout\":0.1}"

static char *folder;

static void setup(void) { folder = scratch_make(); }

static void teardown(void)
{
    scratch_remove(folder, (const char *const[]){"adapter_config.json", "adapter_model.safetensors", "a.gguf"}, 3);
}

struct side { /* one tensor to write */
    const char *name, *dtype;
    int rows, cols;
};

/* Small whole numbers and halves, exact in every type; different for neighbours in either direction. */
static float value_at(int row, int col, int seed) { return (float)((row * 37 + col * 11 + seed) % 127 - 63) / 2; }

static uint16_t half_of(float f) /* of numbers that a normal half holds exactly */
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return f == 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 1023));
}

static size_t fill(const struct side *s, int seed, unsigned char *out)
{
    size_t n = 0;
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->cols; c++) {
            float f = value_at(r, c, seed);
            uint16_t h;
            uint32_t bits;
            memcpy(&bits, &f, 4);
            if (!strcmp(s->dtype, "F32")) {
                memcpy(out + n, &f, 4);
                n += 4;
                continue;
            }
            h = strcmp(s->dtype, "F16") ? (uint16_t)(bits >> 16) : half_of(f);
            memcpy(out + n, &h, 2);
            n += 2;
        }
    return n;
}

static unsigned char scratch_data[1 << 20];

static void write_peft(const char *config_edit, const struct side *sides, size_t n)
{
    struct st_file s;
    struct buf file;
    char *config = tiny_json(PEFT_CONFIG, config_edit);
    scratch_write(folder, "adapter_config.json", config, strlen(config));
    free(config);
    st_file_begin(&s);
    for (size_t i = 0; i < n; i++) {
        char shape[32];
        snprintf(shape, sizeof shape, "%d,%d", sides[i].rows, sides[i].cols);
        st_file_tensor(&s, sides[i].name, sides[i].dtype, shape, scratch_data, fill(&sides[i], (int)i, scratch_data));
    }
    st_file_end(&s, &file);
    scratch_write(folder, "adapter_model.safetensors", file.data, file.len);
    buf_deinit(&file);
}

static float element(const struct adapter_image *image, const struct lora_site *site, int side, int rank, int64_t i,
                     int64_t n)
{
    const struct lora_slab *slabs =
        (const void *)(image->pages + sizeof(struct lora_site) * (size_t)model.n_layers * LORA_TARGETS);
    int per_side = (site->rank + 15) / 16;
    const struct lora_slab *slab = &slabs[site->slab0 + side * per_side + rank / 16];
    size_t at = (size_t)(rank % 16) * (size_t)pad_cols(n) + (size_t)i;
    const unsigned char *p = image->pages + (size_t)slab->page * image->page_bytes + (size_t)slab->offset;
    float f;
    if (site->dtype == DTYPE_F16)
        return f16_load(p + 2 * at);
    memcpy(&f, p + 4 * at, 4);
    return f;
}

static const struct lora_site *site_at(const struct adapter_image *image, int layer, int target)
{
    return (const struct lora_site *)(const void *)image->pages + lora_site_index(layer, target);
}

/* A of (rank, in) from seed a, B of (out, rank) from seed b, with B's rows as `row_of` maps them; padding is zero. */
static void check_site(const struct adapter_image *image, int layer, int target, int rank, int in, int out, int seed_a,
                       int seed_b, int (*row_of)(int))
{
    const struct lora_site *s = site_at(image, layer, target);
    int wrong = 0; /* counted, since a check of its own for every element is slow */
    ck_assert_int_eq(s->rank, rank);
    for (int r = 0; r < rank; r++) {
        for (int k = 0; k < pad_cols(in); k++)
            wrong += element(image, s, 0, r, k, in) != (k < in ? value_at(r, k, seed_a) : 0);
        for (int n = 0; n < pad_cols(out); n++)
            wrong += element(image, s, 1, r, n, out) != (n < out ? value_at(row_of ? row_of(n) : n, r, seed_b) : 0);
    }
    ck_assert_int_eq(wrong, 0);
}

#define NAME(layer, module, side) "base_model.model.model.layers." layer "." module ".lora_" side ".weight"

START_TEST(packs_every_value)
{
    static const int ranks[] = {1, 4, 8, 15, 16, 17, 64, 256};
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    int rank = ranks[_i % 8];
    const char *dtype = dtypes[_i / 8];
    const struct side sides[] = {
        {NAME("0", "self_attn.q_proj", "A"), dtype, rank, 40}, {NAME("0", "self_attn.q_proj", "B"), dtype, Q_OUT, rank},
        {NAME("1", "mlp.down_proj", "A"), dtype, rank, 72},    {NAME("1", "mlp.down_proj", "B"), dtype, 40, rank},
        {"base_model.model.model.layers.1.self_attn.k_proj.lora_A.default.weight", dtype, rank, 40},
        {"base_model.model.model.layers.1.self_attn.k_proj.lora_B.default.weight", dtype, K_OUT, rank},
    };
    char edit[32];
    struct adapter_image image;
    struct err e;
    snprintf(edit, sizeof edit, "{\"r\":%d}", rank);
    write_peft(edit, sides, 6);
    ck_assert_msg(adapter_file_load(folder, &model, PAGE, &image, &e) == 0, "%s", e.message);
    check_site(&image, 0, LORA_Q, rank, 40, Q_OUT, 0, 1, NULL);
    check_site(&image, 1, LORA_DOWN, rank, 72, 40, 2, 3, NULL);
    check_site(&image, 1, LORA_K, rank, 40, K_OUT, 4, 5, NULL);
    ck_assert_int_eq(site_at(&image, 0, LORA_K)->rank, 0);
    const struct lora_site *s = site_at(&image, 0, LORA_Q);
    ck_assert_int_eq(s->dtype, strcmp(dtype, "F16") ? DTYPE_F32 : DTYPE_F16);
    ck_assert(s->scale == (float)(8.0 / rank));
    ck_assert_int_eq(image.max_rank, rank);
    ck_assert_int_eq(image.parameters, rank * (40 + Q_OUT + 72 + 40 + 40 + K_OUT));
    adapter_image_deinit(&image);
}
END_TEST

/* Slabs are aligned, whole inside a page, apart from each other and from the tables, and no page is left empty. */
START_TEST(slabs_lie_apart)
{
    enum { RANK = 97, SLABS = 2 * 2 * 7 }; /* two sites of 7 slabs a side */
    const struct side sides[] = {
        {NAME("0", "mlp.gate_proj", "A"), "F32", RANK, 40}, {NAME("0", "mlp.gate_proj", "B"), "F32", 72, RANK},
        {NAME("1", "mlp.up_proj", "A"), "F16", RANK, 40},   {NAME("1", "mlp.up_proj", "B"), "F16", 72, RANK},
    };
    struct adapter_image image;
    struct err e;
    write_peft("{\"r\":97}", sides, 4);
    ck_assert_int_eq(adapter_file_load(folder, &model, PAGE, &image, &e), 0);
    size_t sites = sizeof(struct lora_site) * (size_t)model.n_layers * LORA_TARGETS;
    size_t tables = sites + SLABS * sizeof(struct lora_slab), bytes = tables;
    unsigned char *taken = calloc((size_t)image.n_pages, PAGE);
    int overlaps = 0;
    memset(taken, 1, tables);
    const struct lora_slab *slab = (const void *)(image.pages + sites);
    for (int i = 0; i < SLABS; i++) {
        int ranks = i % 7 < 6 ? 16 : 1, cols = i / 7 % 2 ? 80 : 48;
        size_t n = (size_t)(ranks * cols) * (i < SLABS / 2 ? 4 : 2);
        ck_assert(slab[i].page >= 0 && slab[i].page < image.n_pages && slab[i].offset % 64 == 0);
        ck_assert(slab[i].offset >= 0 && (size_t)slab[i].offset + n <= PAGE);
        unsigned char *t = taken + (size_t)slab[i].page * PAGE + (size_t)slab[i].offset;
        for (size_t b = 0; b < n; b++)
            overlaps += t[b]++;
        bytes += n;
    }
    ck_assert_int_eq(overlaps, 0);
    ck_assert_uint_eq(image.bytes, bytes);
    ck_assert_uint_lt((size_t)image.n_pages * PAGE, bytes * 3 / 2);
    free(taken);
    adapter_image_deinit(&image);
}
END_TEST

START_TEST(smallest_page_holds_the_largest_adapter)
{
    const struct side sides[] = {{NAME("0", "mlp.up_proj", "A"), "F32", 256, 40},
                                 {NAME("0", "mlp.up_proj", "B"), "F32", 72, 256}};
    struct adapter_image image;
    struct err e;
    size_t least = adapter_min_page_bytes(&model);
    ck_assert(least % 4096 == 0 && least >= 16 * 80 * 4);
    ck_assert_uint_ge(least, 16 * 14 + 8 * 14 * 32); /* tables of rank 256 on every target */
    write_peft("{\"r\":256}", sides, 2);
    ck_assert_int_eq(adapter_file_load(folder, &model, least, &image, &e), 0);
    check_site(&image, 0, LORA_UP, 256, 40, 72, 0, 1, NULL);
    adapter_image_deinit(&image);
    assert_refused(adapter_file_load(folder, &model, least - 4096, &image, &e), e, OL_EINVAL,
                   "adapters of this model need");
}
END_TEST

START_TEST(scales_follow_peft)
{
    const struct side sides[] = {
        {NAME("0", "self_attn.q_proj", "A"), "F32", 20, 40}, {NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 20},
        {NAME("1", "self_attn.v_proj", "A"), "F32", 4, 40},  {NAME("1", "self_attn.v_proj", "B"), "F32", K_OUT, 4},
        {NAME("1", "mlp.up_proj", "A"), "F32", 3, 40},       {NAME("1", "mlp.up_proj", "B"), "F32", 72, 3},
        {NAME("0", "mlp.up_proj", "A"), "F32", 4, 40},       {NAME("0", "mlp.up_proj", "B"), "F32", 72, 4},
    };
    struct adapter_image image;
    struct err e;
    write_peft("{\"use_rslora\":true,\"rank_pattern\":{\"q_proj\":20,\"layers.1.mlp.up_proj\":3},"
               "\"alpha_pattern\":{\"^v_proj\":9,\"^model.layers.1.self_attn.v_proj\":2,\"p_proj\":77}}", sides, 8);
    ck_assert_msg(adapter_file_load(folder, &model, PAGE, &image, &e) == 0, "%s", e.message);
    ck_assert(site_at(&image, 0, LORA_Q)->scale == (float)(8 / sqrt(20)));
    ck_assert(site_at(&image, 1, LORA_V)->scale == 1.0f);
    ck_assert(site_at(&image, 1, LORA_UP)->scale == (float)(8 / sqrt(3)));
    ck_assert(site_at(&image, 0, LORA_UP)->scale == 4.0f);
    adapter_image_deinit(&image);
}
END_TEST

static void hash_of(const char *edit, const struct side *sides, size_t n, char out[65])
{
    struct adapter_image image;
    struct err e;
    write_peft(edit, sides, n);
    ck_assert_int_eq(adapter_file_load(folder, &model, PAGE, &image, &e), 0);
    memcpy(out, image.hash, 65);
    adapter_image_deinit(&image);
}

START_TEST(hash_covers_what_changes_the_result)
{
    const struct side q[] = {{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 40},
                             {NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 4}};
    const struct side q1[] = {{NAME("1", "self_attn.q_proj", "A"), "F32", 4, 40},
                              {NAME("1", "self_attn.q_proj", "B"), "F32", Q_OUT, 4}};
    const struct side half[] = {{NAME("0", "self_attn.q_proj", "A"), "F16", 4, 40},
                                {NAME("0", "self_attn.q_proj", "B"), "F16", Q_OUT, 4}};
    char base[65], other[65];
    hash_of(NULL, q, 2, base);
    ck_assert_uint_eq(strlen(base), 64);
    hash_of("{\"lora_dropout\":0.5}", q, 2, other);
    ck_assert_str_eq(base, other);
    hash_of("{\"lora_alpha\":9}", q, 2, other);
    ck_assert_str_ne(base, other);
    hash_of("{\"use_rslora\":true}", q, 2, other);
    ck_assert_str_ne(base, other);
    hash_of(NULL, q1, 2, other);
    ck_assert_str_ne(base, other);
    hash_of(NULL, half, 2, other);
    ck_assert_str_ne(base, other);
}
END_TEST

static const struct {
    const char *config; /* edit of adapter_config.json */
    int code;
    const char *names;
} config_faults[] = {
    {"{\"peft_type\":\"IA3\"}", OL_EUNSUPPORTED, "\"IA3\""},
    {"{\"peft_type\":null}", OL_EUNSUPPORTED, "peft_type"},
    {"{\"use_dora\":true}", OL_EUNSUPPORTED, "\"use_dora\""},
    {"{\"bias\":\"all\"}", OL_EUNSUPPORTED, "\"bias\""},
    {"{\"lora_bias\":true}", OL_EUNSUPPORTED, "\"lora_bias\""},
    {"{\"fan_in_fan_out\":true}", OL_EUNSUPPORTED, "\"fan_in_fan_out\""},
    {"{\"modules_to_save\":[\"lm_head\"]}", OL_EUNSUPPORTED, "\"modules_to_save\""},
    {"{\"alora_invocation_tokens\":[1,2]}", OL_EUNSUPPORTED, "\"alora_invocation_tokens\""},
    {"{\"layer_replication\":[[0,1]]}", OL_EUNSUPPORTED, "\"layer_replication\""},
    {"{\"some_future_variant\":{\"x\":1}}", OL_EUNSUPPORTED, "\"some_future_variant\""},
    {"{\"init_lora_weights\":\"pissa\"}", OL_EUNSUPPORTED, "\"pissa\""},
    {"{\"r\":0}", OL_EFORMAT, "\"r\""},
    {"{\"r\":\"4\"}", OL_EFORMAT, "\"r\""},
    {"{\"lora_alpha\":null}", OL_EFORMAT, "\"lora_alpha\""},
    {"{\"lora_alpha\":1e300}", OL_EFORMAT, "layer 0 q_proj: alpha"},
    {"{\"r\":5}", OL_EFORMAT, "rank 4, adapter_config.json says 5"},
    {"{\"rank_pattern\":{\"q_proj\":5}}", OL_EFORMAT, "rank 4, adapter_config.json says 5"},
    {"{\"rank_pattern\":{\".*q_proj\":5}}", OL_EUNSUPPORTED, "\".*q_proj\""},
    {"{\"rank_pattern\":[5]}", OL_EFORMAT, "\"rank_pattern\""},
    {"{\"alpha_pattern\":{\"q_proj\":\"x\"}}", OL_EFORMAT, "\"alpha_pattern\" of \"q_proj\""},
};

START_TEST(refuses_config_faults_by_name)
{
    const struct side q[] = {{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 40},
                             {NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 4}};
    struct adapter_image image;
    struct err e;
    write_peft(config_faults[_i].config, q, 2);
    assert_refused(adapter_file_load(folder, &model, PAGE, &image, &e), e, config_faults[_i].code,
                   config_faults[_i].names);
    ck_assert(image.pages == NULL && strstr(e.message, folder));
}
END_TEST

static const struct {
    struct side sides[3];
    int code;
    const char *names;
} tensor_faults[] = {
    {{{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 40}}, OL_EFORMAT, "layer 0 q_proj has lora_A without lora_B"},
    {{{NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 4}}, OL_EFORMAT, "layer 0 q_proj has lora_B without lora_A"},
    {{{NAME("2", "self_attn.q_proj", "A"), "F32", 4, 40}}, OL_EINVAL, "only 2 layers"},
    {{{NAME("0", "self_attn.w_proj", "A"), "F32", 4, 40}}, OL_EUNSUPPORTED, "self_attn.w_proj"},
    {{{"base_model.model.lm_head.lora_A.weight", "F32", 4, 40}}, OL_EUNSUPPORTED, "lm_head"},
    {{{"base_model.model.model.embed_tokens.lora_embedding_A", "F32", 4, 48}}, OL_EUNSUPPORTED, "lora_embedding_A"},
    {{{"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "F32", 1, 32}},
     OL_EUNSUPPORTED,
     "lora_magnitude_vector"},
    {{{"base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "F32", 1, 32}}, OL_EUNSUPPORTED, "lora_B.bias"},
    {{{"model.layers.0.self_attn.q_proj.lora_A.weight", "F32", 4, 40}}, OL_EUNSUPPORTED, "model.layers.0.self_attn"},
    {{{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 41}, {NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 4}},
     OL_EINVAL,
     "layer 0 q_proj: lora_A is 4x41, expected 4x40"},
    {{{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 40}, {NAME("0", "self_attn.q_proj", "B"), "F32", 31, 4}},
     OL_EINVAL,
     "layer 0 q_proj: lora_B is 31x4, expected 32x4"},
    {{{NAME("0", "self_attn.q_proj", "A"), "F32", 4, 40},
      {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "F32", 4, 40}},
     OL_EFORMAT,
     "appears twice"},
};

START_TEST(refuses_tensor_faults_by_name)
{
    struct adapter_image image;
    struct err e;
    size_t n = 0;
    while (n < 3 && tensor_faults[_i].sides[n].name)
        n++;
    write_peft(NULL, tensor_faults[_i].sides, n);
    assert_refused(adapter_file_load(folder, &model, PAGE, &image, &e), e, tensor_faults[_i].code,
                   tensor_faults[_i].names);
    ck_assert_ptr_null(image.pages);
}
END_TEST

START_TEST(refuses_large_ranks_and_empty_adapters)
{
    const struct side wide[] = {{NAME("0", "self_attn.q_proj", "A"), "F32", 257, 40},
                                {NAME("0", "self_attn.q_proj", "B"), "F32", Q_OUT, 257}};
    struct adapter_image image;
    struct err e;
    write_peft("{\"r\":257}", wide, 2);
    assert_refused(adapter_file_load(folder, &model, PAGE, &image, &e), e, OL_EUNSUPPORTED,
                   "layer 0 q_proj has rank 257");
    write_peft(NULL, wide, 0);
    assert_refused(adapter_file_load(folder, &model, PAGE, &image, &e), e, OL_EFORMAT, "no LoRA weights");
    assert_refused(adapter_file_load("/nonexistent", &model, PAGE, &image, &e), e, OL_ENOTFOUND, "/nonexistent");
}
END_TEST

/* One value of an adapter replaced by infinity or NaN. */
START_TEST(refuses_values_that_are_not_finite)
{
    static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e01}, brains[] = {0x7f80, 0xff80, 0x7fc1};
    const char *dtype = _i / 6 ? "BF16" : "F16";
    const struct side q[] = {{NAME("0", "self_attn.q_proj", "A"), dtype, 4, 40},
                             {NAME("0", "self_attn.q_proj", "B"), dtype, Q_OUT, 4}};
    char *path = scratch_path(folder, "adapter_model.safetensors");
    struct adapter_image image;
    struct stat st;
    struct err e;
    bool b = _i / 3 % 2;
    write_peft(NULL, q, 2);
    FILE *f = fopen(path, "r+b");
    ck_assert(f && !stat(path, &st));
    ck_assert_int_eq(fseek(f, b ? -2 : (long)st.st_size - 2 * (4 * 40 + Q_OUT * 4), b ? SEEK_END : SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(_i / 6 ? &brains[_i % 3] : &halves[_i % 3], 2, 1, f), 1);
    fclose(f);
    assert_refused(adapter_file_load(folder, &model, PAGE, &image, &e), e, OL_EFORMAT,
                   b ? "layer 0 q_proj: lora_B has a value that is not finite"
                     : "layer 0 q_proj: lora_A has a value that is not finite");
    ck_assert_ptr_null(image.pages);
    free(path);
}
END_TEST

/* Output n of a head of 8 is, in pair order, row 2n of the first half and 2(n − 4) + 1 of the second. */
static int pair_row(int n) { return n / 8 * 8 + (n % 8 < 4 ? 2 * (n % 8) : 2 * (n % 8 - 4) + 1); }

static char *write_gguf(const char *type, const char *arch, const struct side *sides, size_t n, float alpha)
{
    struct gguf_file g;
    struct buf file;
    gguf_file_begin(&g);
    gguf_file_text(&g, "general.type", type);
    gguf_file_text(&g, "general.architecture", arch);
    gguf_file_text(&g, "adapter.type", "lora");
    if (alpha != 0)
        gguf_file_f32(&g, "adapter.lora.alpha", alpha);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = fill(&sides[i], (int)i, scratch_data);
        gguf_file_tensor(&g, sides[i].name, strcmp(sides[i].dtype, "F16") ? 0 : 1, (uint64_t)sides[i].cols,
                         (uint64_t)sides[i].rows, scratch_data, bytes);
    }
    gguf_file_end(&g, &file);
    scratch_write(folder, "a.gguf", file.data, file.len);
    buf_deinit(&file);
    return scratch_path(folder, "a.gguf");
}

static const struct side gguf_sides[] = {
    {"blk.0.attn_q.weight.lora_a", "F32", 5, 40}, {"blk.0.attn_q.weight.lora_b", "F32", Q_OUT, 5},
    {"blk.1.attn_k.weight.lora_a", "F16", 5, 40}, {"blk.1.attn_k.weight.lora_b", "F16", K_OUT, 5},
    {"blk.1.attn_v.weight.lora_a", "F32", 5, 40}, {"blk.1.attn_v.weight.lora_b", "F32", K_OUT, 5},
};

START_TEST(reads_gguf_adapters_in_our_row_order)
{
    static const struct { const char *model, *file; int (*row_of)(int);
    } rows[] = {
        {"llama", "llama", pair_row},
        {"mistral", "llama", pair_row},
        {"qwen2", "qwen2", NULL},
        {"qwen3", "qwen3", NULL},
    };
    struct model_config c = model;
    struct adapter_image image;
    struct err e;
    snprintf(c.arch, sizeof c.arch, "%s", rows[_i].model);
    char *path = write_gguf("adapter", rows[_i].file, gguf_sides, 6, 10);
    ck_assert_msg(adapter_file_load(path, &c, PAGE, &image, &e) == 0, "%s", e.message);
    check_site(&image, 0, LORA_Q, 5, 40, Q_OUT, 0, 1, rows[_i].row_of);
    check_site(&image, 1, LORA_K, 5, 40, K_OUT, 2, 3, rows[_i].row_of);
    check_site(&image, 1, LORA_V, 5, 40, K_OUT, 4, 5, NULL);
    ck_assert(site_at(&image, 0, LORA_Q)->scale == 2.0f && site_at(&image, 1, LORA_K)->dtype == DTYPE_F16);
    adapter_image_deinit(&image);
    free(path);
}
END_TEST

START_TEST(refuses_gguf_faults_by_name)
{
    const struct side unknown[] = {{"blk.0.attn_q.weight.lora_c", "F32", 5, 40}},
                      norm[] = {{"blk.0.attn_norm.weight.lora_a", "F32", 5, 40}};
    struct adapter_image image;
    struct err e;
    char *path = write_gguf("model", "llama", gguf_sides, 6, 10);
    assert_refused(adapter_file_load(path, &model, PAGE, &image, &e), e, OL_EUNSUPPORTED, "not a LoRA adapter");
    free(write_gguf("adapter", "qwen2", gguf_sides, 6, 10));
    assert_refused(adapter_file_load(path, &model, PAGE, &image, &e), e, OL_EINVAL, "architecture \"qwen2\"");
    free(write_gguf("adapter", "llama", gguf_sides, 5, 10));
    assert_refused(adapter_file_load(path, &model, PAGE, &image, &e), e, OL_EFORMAT,
                   "layer 1 v_proj has lora_A without lora_B");
    free(write_gguf("adapter", "llama", unknown, 1, 10));
    assert_refused(adapter_file_load(path, &model, PAGE, &image, &e), e, OL_EUNSUPPORTED, "blk.0.attn_q.weight.lora_c");
    free(write_gguf("adapter", "llama", norm, 1, 10));
    assert_refused(adapter_file_load(path, &model, PAGE, &image, &e), e, OL_EUNSUPPORTED, "blk.0.attn_norm.weight");
    free(write_gguf("adapter", "llama", gguf_sides, 6, 0)); /* no alpha: scale 1, as llama.cpp */
    ck_assert_int_eq(adapter_file_load(path, &model, PAGE, &image, &e), 0);
    ck_assert(site_at(&image, 0, LORA_Q)->scale == 1.0f);
    adapter_image_deinit(&image);
    free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("adapter_file");
    TCase *c = tcase_create("adapter_file");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, packs_every_value, 0, 24);
    tcase_add_test(c, slabs_lie_apart);
    tcase_add_test(c, smallest_page_holds_the_largest_adapter);
    tcase_add_test(c, scales_follow_peft);
    tcase_add_test(c, hash_covers_what_changes_the_result);
    tcase_add_loop_test(c, refuses_config_faults_by_name, 0, (int)(sizeof config_faults / sizeof *config_faults));
    tcase_add_loop_test(c, refuses_tensor_faults_by_name, 0, (int)(sizeof tensor_faults / sizeof *tensor_faults));
    tcase_add_test(c, refuses_large_ranks_and_empty_adapters);
    tcase_add_loop_test(c, refuses_values_that_are_not_finite, 0, 12);
    tcase_add_loop_test(c, reads_gguf_adapters_in_our_row_order, 0, 4);
    tcase_add_test(c, refuses_gguf_faults_by_name);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
