/* openlora attribution index: from Datanet versions to the files on which spans rest. */
#include "attribution/span_documents.h"
#include "cli/commands.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_show("sorting", (int64_t)(done * 100 / total), 100, "%");
}

static int make_index(const char *model, const struct option_list *datanets, const char *folder,
                      struct span_documents *out, struct err *e)
{
    struct datanet_version *versions[SPAN_MAX_DATANETS] = {0};
    struct model_file *file = NULL;
    if (datanets->n > SPAN_MAX_DATANETS)
        return err_set(e, OL_ELIMIT, "documents", "%d Datanets; at most %d", datanets->n, SPAN_MAX_DATANETS);
    int rc = model_file_open(model, &file, e);
    for (int i = 0; i < datanets->n && !rc; i++)
        rc = datanet_version_open(datanets->items[i], &versions[i], e);
    if (!rc && mkdir(folder, 0755) && errno != EEXIST)
        rc = err_set(e, OL_EIO, "documents", "cannot make the folder %s: %s", folder, strerror(errno));
    if (!rc)
        rc = span_documents_build(file, (const struct datanet_version *const *)versions, (size_t)datanets->n, folder,
                                  show_progress, NULL, out, e);
    progress_done();
    for (int i = 0; i < datanets->n; i++)
        datanet_version_close(versions[i]);
    model_file_close(file);
    return rc;
}

static void print_result(const struct span_documents *d, bool json)
{
    if (json)
        printf("{\"datanets\":%u,\"contributions\":%u,\"withdrawn\":%u,\"documents\":%u,\"tokens\":%llu,"
               "\"vocabulary\":%u,\"index_bytes\":%llu,\"index\":\"0x%s\",\"surprisal\":\"0x%s\"}\n",
               d->datanets, d->contributions, d->withdrawn, d->documents, (unsigned long long)d->tokens, d->vocab,
               (unsigned long long)d->index_bytes, d->index_hash, d->surprisal_hash);
    else
        printf("%u Datanets, %u contributions (%u withdrawn), %u documents, %llu tokens\nindex      0x%s, %llu bytes\n"
               "surprisal  0x%s\n",
               d->datanets, d->contributions, d->withdrawn, d->documents, (unsigned long long)d->tokens, d->index_hash,
               (unsigned long long)d->index_bytes, d->surprisal_hash);
}

int command_attribution_index(const struct command *command, int argc, char **argv)
{
    const char *model = NULL, *folder = NULL;
    struct option_list datanets = {0};
    bool json = false;
    const struct option options[] = {
        REQUIRED("model", &model, "PATH", "GGUF file or safetensors directory: its tokenizer"),
        LIST("datanet", &datanets, "FOLDER…", "exported versions of Datanets, in the policy's order"),
        REQUIRED("out", &folder, "FOLDER", "the policy's folder; made if there is none"),
        FLAG("json", &json, "print the result as JSON"), OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    struct err e = {0};
    struct span_documents made;
    int code = words < 0 ? options_exit(words) : EXIT_OK;
    if (words >= 0 && !datanets.n)
        code = fail(command, EXIT_USAGE, "--datanet FOLDER is missing; `openlora datanet export` writes one");
    else if (words >= 0 && make_index(model, &datanets, folder, &made, &e))
        code = fail(command, EXIT_FAILED, "%s", e.message);
    else if (words >= 0)
        print_result(&made, json);
    free(datanets.items);
    return code;
}
