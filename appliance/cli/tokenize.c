/* openlora tokenize: token ids of standard input. */
#include "cli/commands.h"

#include "base/buf.h"
#include "model/model_file.h"
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_TEXT_BYTES = 64 << 20 };

static int read_all(FILE *in, struct buf *text, struct err *e)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, in)) > 0)
        buf_add(text, part, n);
    if (buf_failed(text))
        return err_set(e, OL_ELIMIT, "tokenize", "the input is larger than %d MiB", MAX_TEXT_BYTES >> 20);
    return ferror(in) ? err_set(e, OL_EIO, "tokenize", "cannot read standard input") : OL_OK;
}

static int open_tokenizer(const char *path, struct model_file **file, struct tokenizer **out, struct err *e)
{
    int rc = model_file_open(path, file, e);
    if (rc)
        return rc;
    const struct gguf *gguf = model_file_gguf(*file);
    return gguf ? tokenizer_open_gguf(gguf, out, e) : tokenizer_open_dir(model_file_dir(*file), out, e);
}

static void print_ids(const int32_t *ids, size_t n, bool json)
{
    const char *separator = json ? "," : " ";
    fputs(json ? "[" : "", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i ? separator : "", ids[i]);
    puts(json ? "]" : "");
}

int command_tokenize(const struct command *command, int argc, char **argv)
{
    const char *model = NULL;
    bool json = false;
    const struct option options[] = {REQUIRED("model", &model, "PATH", "GGUF file or safetensors directory"),
                                     FLAG("json", &json, "print a JSON array"), OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    struct err e = {0};
    struct model_file *file = NULL;
    struct tokenizer *tokenizer = NULL;
    struct buf text;
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    buf_init(&text, MAX_TEXT_BYTES);
    int rc = open_tokenizer(model, &file, &tokenizer, &e);
    if (!rc)
        rc = read_all(stdin, &text, &e);
    if (!rc)
        rc = tokenizer_encode(tokenizer, buf_str(&text), text.len, true, MAX_TEXT_BYTES, &ids, &n, &cap, &e);
    if (!rc)
        print_ids(ids, n, json);
    free(ids);
    buf_deinit(&text);
    tokenizer_close(tokenizer);
    model_file_close(file);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
