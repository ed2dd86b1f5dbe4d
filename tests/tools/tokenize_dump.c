/* For tests/golden/test_tokenizer.py: opens a tokenizer (a .gguf file or a model directory), then answers requests
 * on standard input until it ends. A request is one byte, a little-endian u32 count, and that many bytes:
 *   's' text, special tokens parsed; 'p' text, all of it plain  → u32 count, count × i32 ids
 *   'd' i32 ids → detokenized piece by piece, special tokens shown: u32 count, count bytes
 *   'm' nothing → bos, eos, adds_bos, vocabulary size, then the ids that end a generation: like ids */
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REQUEST = 1 << 28 };

static int open_tokenizer(const char *path, struct gguf **g, struct tokenizer **t, struct err *e)
{
    size_t len = strlen(path);
    if (len < 5 || strcmp(path + len - 5, ".gguf") != 0)
        return tokenizer_open_dir(path, t, e);
    int rc = gguf_open(path, g, e);
    return rc ? rc : tokenizer_open_gguf(*g, t, e);
}

static void put(const void *items, size_t n, size_t item_bytes)
{
    uint32_t count = (uint32_t)n;
    fwrite(&count, sizeof count, 1, stdout);
    if (n)
        fwrite(items, item_bytes, n, stdout);
    fflush(stdout);
}

static int answer_ids(const struct tokenizer *t, const char *text, size_t len, bool special, struct err *e)
{
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    int rc = tokenizer_encode(t, text, len, special, SIZE_MAX, &ids, &n, &cap, e);
    if (!rc)
        put(ids, n, sizeof *ids);
    free(ids);
    return rc;
}

static void answer_text(const struct tokenizer *t, const char *ids, size_t len)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    struct detokenizer d = {.n_pending = 0};
    for (size_t i = 0; i + 4 <= len; i += 4) {
        int32_t id;
        memcpy(&id, ids + i, 4);
        detokenizer_push(&d, t, id, true, &out);
    }
    detokenizer_finish(&d, &out);
    put(buf_str(&out), out.len, 1);
    buf_deinit(&out);
}

static void answer_facts(const struct tokenizer *t)
{
    int32_t facts[64] = {tokenizer_bos(t), tokenizer_eos(t), tokenizer_adds_bos(t), tokenizer_vocab(t)};
    size_t n = 4;
    for (int32_t id = 0; id < tokenizer_vocab(t) && n < 64; id++)
        if (tokenizer_is_eog(t, id))
            facts[n++] = id;
    put(facts, n, sizeof *facts);
}

static int answer(const struct tokenizer *t, int kind, const char *data, uint32_t len, struct err *e)
{
    if (kind == 'd')
        answer_text(t, data, len);
    else if (kind == 'm')
        answer_facts(t);
    else
        return answer_ids(t, data, len, kind == 's', e);
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    int rc = argc == 2 ? open_tokenizer(argv[1], &g, &t, &e)
                       : err_set(&e, OL_EINVAL, "usage", "tokenize_dump MODEL.gguf|DIRECTORY");
    int kind;
    while (!rc && (kind = getchar()) != EOF) {
        uint32_t len = 0;
        if (fread(&len, sizeof len, 1, stdin) != 1 || len > MAX_REQUEST)
            break;
        char *data = malloc(len + 1u);
        if (data && fread(data, 1, len, stdin) == len)
            rc = answer(t, kind, data, len, &e);
        free(data);
    }
    if (rc)
        fprintf(stderr, "%s: %s\n", e.module, e.message);
    tokenizer_close(t);
    gguf_close(g);
    return rc != 0;
}
