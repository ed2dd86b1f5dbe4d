/* openlora chain mirror: copies the bodies of a node's batches, so that they outlive the node and anyone can check or
 * challenge them. Whoever serves them need not be trusted: a body must hash to its batch's bodyHash and begin with its
 * batch's header, and with --rpc the batch must be the one in the chain's storage.
 *
 *   OUT/<node>/<number>.batch.json   the header
 *   OUT/<node>/<number>.body.json    the body; .part while it comes, which a later run goes on with */
#include "base/buf.h"
#include "base/sha256.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/bundle.h"
#include "chainlite/json/notation.h"
#include "cli/chain_link.h"
#include "cli/commands.h"
#include "cli/http_client.h"
#include "cli/progress.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "mirror"

enum { PIECE_BYTES = 1 << 20, MAX_HEADER_BYTES = 8192, MAX_BODY_BYTES = 256 << 20, PATH_BYTES = PATH_MAX };

struct mirror {
    struct chain_link_options link;
    const char *from, *out, *node_text;
    bool json, has_node, has_chain;
    uint8_t node[ADDRESS_BYTES];
    char folder[PATH_BYTES - 64]; /* OUT/<node> */
    struct http_client *http;
    struct chain_link chain;
    uint64_t fetched, kept, waiting, failed, bytes;
};

/* ---- files */

static int make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "making %s: %s", path, strerror(errno));
    return 0;
}

static const char *path_of(const struct mirror *m, uint64_t number, const char *what, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%llu.%s", m->folder, (unsigned long long)number, what);
    return out;
}

static uint64_t size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

/* Text of the header as a body has it: `{"version":1,"batch":{…}`. */
static void body_beginning(const struct batch *b, struct buf *out)
{
    buf_init(out, MAX_HEADER_BYTES);
    buf_add_str(out, "{\"version\":1,\"batch\":");
    notation_write(&batch_body_schema, b, out);
}

/* Whether the file is the body of this batch. OL_ENOTFOUND: there is none; OL_EFORMAT: it is another. */
static int check_body(const char *path, const struct batch *b, struct err *e)
{
    struct buf beginning;
    struct sha256 sha;
    uint8_t hash[SHA256_BYTES];
    char chunk[65536];
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, OL_ENOTFOUND, MODULE, "%s: %s", path, strerror(errno));
    body_beginning(b, &beginning);
    sha256_init(&sha);
    bool begins = false;
    for (size_t n, at = 0; (n = fread(chunk, 1, sizeof chunk, f)) > 0; at += n) {
        if (at == 0)
            begins = n >= beginning.len && memcmp(chunk, buf_str(&beginning), beginning.len) == 0;
        sha256_add(&sha, chunk, n);
    }
    bool failed = ferror(f);
    fclose(f);
    sha256_end(&sha, hash);
    buf_deinit(&beginning);
    if (failed)
        return err_set(e, OL_EIO, MODULE, "%s cannot be read", path);
    if (memcmp(hash, b->body_hash, sizeof hash) != 0)
        return err_set(e, OL_EFORMAT, MODULE, "batch %llu: the body does not have the SHA-256 of its batch",
                       (unsigned long long)b->number);
    return begins ? 0
                  : err_set(e, OL_EFORMAT, MODULE, "batch %llu: the body is of another batch",
                            (unsigned long long)b->number);
}

static int write_header(const struct mirror *m, const struct batch *b, struct err *e)
{
    char path[PATH_BYTES];
    struct buf text;
    buf_init(&text, MAX_HEADER_BYTES);
    notation_write(&batch_schema, b, &text);
    FILE *f = fopen(path_of(m, b->number, "batch.json", path), "we");
    bool ok = f && fwrite(buf_str(&text), 1, text.len, f) == text.len;
    ok = f && fclose(f) == 0 && ok;
    buf_deinit(&text);
    return ok ? 0 : err_set(e, OL_EIO, MODULE, "writing %s: %s", path, strerror(errno));
}

/* ---- fetching */

/* Appends what is missing of the body to the .part file. */
static int fetch_rest(struct mirror *m, const struct batch *b, uint64_t total, const char *part, struct err *e)
{
    char path[128], label[48];
    uint64_t at = size_of(part);
    FILE *f = fopen(part, "ae");
    int rc = f ? 0 : err_set(e, OL_EIO, MODULE, "writing %s: %s", part, strerror(errno));
    snprintf(label, sizeof label, "batch %llu", (unsigned long long)b->number);
    while (rc == 0 && at < total && at < MAX_BODY_BYTES) {
        char *text = NULL;
        snprintf(path, sizeof path, "/v1/batches/%llu/body?from=%llu&bytes=%d", (unsigned long long)b->number,
                 (unsigned long long)at, PIECE_BYTES);
        rc = http_request(m->http, "GET", path, NULL, &text, e);
        size_t n = rc == 0 ? strlen(text) : 0;
        if (rc == 0 && n == 0)
            rc = err_set(e, OL_EFORMAT, MODULE, "batch %llu: the body ends after %llu of %llu bytes",
                         (unsigned long long)b->number, (unsigned long long)at, (unsigned long long)total);
        if (rc == 0 && (fwrite(text, 1, n, f) != n || fflush(f) != 0))
            rc = err_set(e, OL_EIO, MODULE, "writing %s: %s", part, strerror(errno));
        free(text);
        at += n;
        m->bytes += n;
        progress_show(label, (int64_t)at, (int64_t)total, "B");
    }
    progress_done();
    if (f && (fsync(fileno(f)) != 0 || fclose(f) != 0) && rc == 0)
        rc = err_set(e, OL_EIO, MODULE, "writing %s: %s", part, strerror(errno));
    return rc;
}

/* What was left of an earlier run may be of a batch that a reorg replaced: then once more from the beginning. */
static int fetch_body(struct mirror *m, const struct batch *b, uint64_t total, struct err *e)
{
    char part[PATH_BYTES], path[PATH_BYTES];
    path_of(m, b->number, "body.part", part);
    bool went_on = size_of(part) > 0;
    int rc = fetch_rest(m, b, total, part, e);
    if (rc == 0)
        rc = check_body(part, b, e);
    if (rc == OL_EFORMAT) {
        unlink(part);
        return went_on ? fetch_body(m, b, total, e) : rc;
    }
    if (rc == 0 && rename(part, path_of(m, b->number, "body.json", path)) != 0)
        rc = err_set(e, OL_EIO, MODULE, "storing %s: %s", path, strerror(errno));
    return rc;
}

static int check_slot(struct mirror *m, const struct batch *b, struct err *e)
{
    uint8_t slot[32], word[32], hash[HASH_BYTES];
    struct light_head head;
    slot_batch(b->node, b->number, slot);
    int rc = chain_link_word(&m->chain, "Settlement", slot, word, &head, e);
    if (rc != 0)
        return rc;
    batch_hash(b, hash);
    return memcmp(hash, word, sizeof hash) == 0
               ? 0
               : err_set(e, OL_EFORMAT, MODULE, "batch %llu is not the one in the chain's storage at block %llu",
                         (unsigned long long)b->number, (unsigned long long)head.number);
}

/* One batch of the listing. */
static int take(struct mirror *m, const struct batch *b, uint64_t total, struct err *e)
{
    char path[PATH_BYTES];
    if (memcmp(b->node, m->node, ADDRESS_BYTES) != 0)
        return err_set(e, OL_EFORMAT, MODULE, "batch %llu is of another node", (unsigned long long)b->number);
    int rc = m->has_chain ? check_slot(m, b, e) : 0;
    if (rc != 0)
        return rc;
    rc = check_body(path_of(m, b->number, "body.json", path), b, NULL);
    if (rc == 0) {
        m->kept++;
        return 0;
    }
    rc = fetch_body(m, b, total, e);
    if (rc == 0)
        rc = write_header(m, b, e);
    m->fetched += rc == 0;
    return rc;
}

/* ---- the listing */

static bool stands(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    return state && (strcmp(state, "unsafe") == 0 || strcmp(state, "safe") == 0 || strcmp(state, "anchored") == 0);
}

/* The node, unless it was named, is that of the first batch. */
static int open_folder(struct mirror *m, const uint8_t node[ADDRESS_BYTES], struct err *e)
{
    char name[2 * ADDRESS_BYTES + 1];
    if (!m->has_node)
        memcpy(m->node, node, ADDRESS_BYTES);
    m->has_node = true;
    hex_encode(m->node, ADDRESS_BYTES, name);
    if (snprintf(m->folder, sizeof m->folder, "%s/0x%s", m->out, name) >= (int)sizeof m->folder)
        return err_set(e, OL_EINVAL, MODULE, "the folder's name is too long");
    int rc = make_folder(m->out, e);
    return rc ? rc : make_folder(m->folder, e);
}

/* What fails is told and left out; an endpoint or disk that is away ends it. */
static int take_row(struct mirror *m, const json_t *row, struct err *e)
{
    struct batch b;
    struct err why = {0};
    if (!stands(row)) {
        m->waiting++;
        return 0;
    }
    int rc = notation_read(&batch_schema, json_object_get(row, "batch"), &b, &why);
    if (rc == 0 && !*m->folder)
        rc = open_folder(m, b.node, &why);
    if (rc == 0)
        rc = take(m, &b, (uint64_t)json_integer_value(json_object_get(row, "body_bytes")), &why);
    if (rc == OL_EFORMAT) {
        m->failed++;
        fprintf(stderr, "openlora chain mirror: %s\n", why.message);
        return 0;
    }
    if (rc != 0)
        *e = why;
    return rc;
}

static int take_all(struct mirror *m, struct err *e)
{
    uint64_t after = 0;
    for (bool more = true; more;) {
        char path[64];
        json_t *page = NULL, *row;
        size_t i;
        snprintf(path, sizeof path, "/v1/batches?after=%llu", (unsigned long long)after);
        int rc = http_json(m->http, "GET", path, NULL, &page, e);
        const json_t *rows = json_object_get(page, "batches");
        more = false;
        json_array_foreach((json_t *)(uintptr_t)rows, i, row)
        {
            uint64_t number = (uint64_t)json_integer_value(json_object_get(row, "number"));
            if (rc == 0)
                rc = take_row(m, row, e);
            more = more || number > after;
            after = number > after ? number : after;
        }
        json_decref(page);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int run(struct mirror *m, struct err *e)
{
    bool is_url = strstr(m->from, "://") != NULL;
    int rc = is_url ? http_open(m->from, &m->http, e) : http_open_socket(m->from, &m->http, e);
    if (rc == 0 && m->has_chain)
        rc = chain_link_open(&m->link, &m->chain, e);
    if (rc == 0)
        rc = take_all(m, e);
    http_close(m->http);
    if (m->has_chain)
        chain_link_close(&m->chain);
    return rc;
}

static void print_end(const struct mirror *m)
{
    json_t *sums = m->json ? json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:b}", "folder", m->folder, "fetched",
                                       (json_int_t)m->fetched, "kept", (json_int_t)m->kept, "not_on_chain",
                                       (json_int_t)m->waiting, "refused", (json_int_t)m->failed, "bytes",
                                       (json_int_t)m->bytes, "checked_against_chain", m->has_chain)
                           : NULL;
    if (sums) {
        json_dumpf(sums, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(sums);
    } else {
        printf("%llu batches fetched, %llu kept, %llu refused, in %s%s\n", (unsigned long long)m->fetched,
               (unsigned long long)m->kept, (unsigned long long)m->failed, *m->folder ? m->folder : m->out,
               m->has_chain ? "; each is in the chain's storage" : "; not compared with a chain (--rpc)");
    }
}

int command_chain_mirror(const struct command *command, int argc, char **argv)
{
    static struct mirror m; /* paths */
    const struct option options[] = {
        REQUIRED("from", &m.from, "URL|SOCKET", "a node's API, or chainlited's Unix socket"),
        REQUIRED("out", &m.out, "FOLDER", "where the bodies go, by node"),
        TEXT("node", &m.node_text, "ADDRESS", "only this node's (default: that of the first batch)"),
        CHAIN_LINK_OPTIONS(m.link),
        FLAG("json", &m.json, "print the sums as JSON"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0), code = EXIT_OK;
    m.has_chain = m.link.rpc.n > 0;
    m.has_node = m.node_text != NULL;
    if (words < 0)
        code = options_exit(words);
    else if (m.has_node && !address_parse(m.node_text, m.node))
        code = fail(command, EXIT_USAGE, "--node %s is no address", m.node_text);
    else if (run(&m, &e) != 0)
        code = fail(command, EXIT_FAILED, "%s", e.message);
    else
        print_end(&m);
    free(m.link.rpc.items);
    return code == EXIT_OK && m.failed ? EXIT_FAILED : code;
}
