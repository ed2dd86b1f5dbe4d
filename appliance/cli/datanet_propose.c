/* openlora datanet commit, propose: contributions on their way in. */
#include "chainlite/core/hex.h"
#include "cli/datanet.h"
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MODULE "datanet"

struct offer {
    const char *folder, *format, *commitment;
    struct option_list allow;
    const char *licence, *consent, *jurisdiction;
    struct account_options account;
    bool json;
};

/* What `commit` keeps for `propose`. */
struct kept_commitment {
    uint8_t version;
    uint8_t sha256[32], salt[32], commitment[32];
};
enum { KEPT_VERSION = 1, KEPT_MAX_BYTES = 4096 };

static const struct field kept_fields[] = {
    FIELD_BOUNDED(kept_commitment, VERSION, "version", version, KEPT_VERSION),
    FIELD(kept_commitment, HASH, "sha256", sha256),
    FIELD(kept_commitment, HASH, "salt", salt),
    FIELD(kept_commitment, HASH, "commitment", commitment),
};
static const struct schema kept_schema = SCHEMA("commitment", kept_commitment, kept_fields);

/* ---- what is offered */

static int read_options(const struct offer *o, struct ingest_options *out, struct err *e)
{
    for (int f = CONTENT_TEXT; o->format && f < CONTENT_FORMATS; f++)
        if (strcmp(o->format, content_format_names[f]) == 0)
            out->format = (uint8_t)f;
    if (o->format && !out->format)
        return err_set(e, OL_EINVAL, MODULE, "--format %s is none of text, markdown, chat and instruction", o->format);
    for (int i = 0; i < o->allow.n; i++) {
        int k = 0;
        while (k < SCAN_KINDS && strcmp(o->allow.items[i], scan_kind_names[k]) != 0)
            k++;
        if (k == SCAN_KINDS || k <= SCAN_CREDENTIAL)
            return err_set(e, OL_EINVAL, MODULE,
                           "--allow %s: only high_entropy, email, phone, card, iban and ip_address", o->allow.items[i]);
        out->allowed[k] = true;
    }
    return 0;
}

static int read_labels(const struct offer *o, struct contribution_labels *out, struct err *e)
{
    int licence = snprintf(out->licence, LABEL_BYTES, "%s", o->licence);
    int consent = snprintf(out->consent, LABEL_BYTES, "%s", o->consent);
    int jurisdiction = snprintf(out->jurisdiction, LABEL_BYTES, "%s", o->jurisdiction);
    if (licence >= LABEL_BYTES || consent >= LABEL_BYTES || jurisdiction >= LABEL_BYTES)
        return err_set(e, OL_EINVAL, MODULE, "a label has %d bytes at most", LABEL_BYTES - 1);
    return labels_check(out, e);
}

static void show_progress(size_t done, size_t total)
{
    progress_show("checking", (int64_t)done, (int64_t)total, "bytes");
}

static void print_report(const struct ingested *in, const uint8_t id[32], uint64_t registered_at, bool json)
{
    char hex[65];
    hex_encode(id, 32, hex);
    if (!json) {
        printf("contribution 0x%s\n%u rows in, %u refused (%s)\n", hex, in->rows, in->n_refused,
               content_format_names[in->format]);
        datanet_print_lines(in);
        return;
    }
    json_t *report = json_pack("{s:o,s:I,s:s,s:i,s:i,s:o}", "contribution", datanet_hex_json(id, 32), "registered_at",
                               (json_int_t)registered_at, "format", content_format_names[in->format], "rows",
                               (int)in->rows, "refused", (int)in->n_refused, "lines", datanet_lines_json(in));
    json_dumpf(report, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(report);
}

static int check_file(const struct offer *o, const char *path, struct datanet_session *s, uint64_t registered_at,
                      struct ingested *in, uint8_t sha256[32], uint8_t id[32], struct err *e)
{
    struct ingest_options options = {.datanet = s->datanet, .registered_at = registered_at, .progress = show_progress};
    int rc = read_options(o, &options, e);
    if (rc != 0)
        return rc;
    if (!datanet_may_propose(s->datanet, s->signer.address))
        return err_set(e, OL_EINVAL, MODULE, "this account is not among the Datanet's contributors");
    rc = ingest_file(path, &options, in, e);
    progress_done();
    if (rc != 0)
        return rc;
    content_hash(buf_str(&in->content), in->content.len, sha256);
    contribution_id(s->datanet->item, s->signer.address, sha256, id);
    if (in->rows == 0) {
        datanet_print_lines(in);
        return err_set(e, OL_EINVAL, MODULE, "nothing of %s may enter", path);
    }
    return 0;
}

/* ---- commit */

static int commitment_path(const struct offer *o, const char *path, char out[PATH_MAX], struct err *e)
{
    int n = o->commitment ? snprintf(out, PATH_MAX, "%s", o->commitment)
                          : snprintf(out, PATH_MAX, "%s.commitment.json", path);
    return n > 0 && n < PATH_MAX - 16 ? 0 : err_set(e, OL_EINVAL, MODULE, "the path is too long: %.100s…", path);
}

static void commitment_hash(const uint8_t id[32], const uint8_t salt[32], uint8_t out[32])
{
    uint8_t both[64];
    memcpy(both, id, 32);
    memcpy(both + 32, salt, 32);
    keccak256(both, sizeof both, out);
}

/* The salt is on disk before the commitment is in the log: one without the other would be worthless. */
static int commit(const struct offer *o, const char *path, struct err *e)
{
    struct kept_commitment kept = {.version = KEPT_VERSION};
    struct datanet_session s;
    struct ingested in = {0};
    uint8_t id[32];
    char to[PATH_MAX];
    uint64_t now = (uint64_t)time(NULL);
    int rc = datanet_session_open(o->folder, &o->account, &s, e);
    if (rc == 0)
        rc = commitment_path(o, path, to, e);
    if (rc == 0)
        rc = check_file(o, path, &s, datanet_next_time(s.datanet, now), &in, kept.sha256, id, e);
    if (rc == 0 && getrandom(kept.salt, sizeof kept.salt, 0) != (ssize_t)sizeof kept.salt)
        rc = err_set(e, OL_EIO, MODULE, "no random numbers");
    if (rc == 0) {
        struct log_commit body;
        commitment_hash(id, kept.salt, kept.commitment);
        memcpy(body.commitment, kept.commitment, 32);
        rc = notation_write_file(&kept_schema, &kept, to, KEPT_MAX_BYTES, e);
        if (rc == 0)
            rc = datanet_act(s.datanet, ACT_COMMIT, &body, &s.signer, now, e);
        if (rc == 0)
            print_report(&in, id, s.datanet->time, o->json);
    }
    ingested_free(&in);
    datanet_session_close(&s);
    return rc;
}

/* ---- propose */

static int list_refused(const struct ingested *in, const struct ingest_options *o, struct log_propose *out,
                        struct err *e)
{
    struct log_refusal *refused = calloc(in->n + SCAN_KINDS, sizeof *refused);
    if (!refused)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a report");
    out->refused.at = refused;
    for (size_t i = 0; i < in->n; i++)
        if (!in->lines[i].noted) {
            struct log_refusal *r = &refused[out->refused.n++];
            r->line = in->lines[i].line;
            snprintf(r->reason, sizeof r->reason, "%s", in->lines[i].reason);
        }
    struct log_refusal *allowed = out->allowed.at = calloc(SCAN_KINDS, sizeof *allowed);
    if (!allowed)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a report");
    for (int k = 0; k < SCAN_KINDS; k++)
        if (o->allowed[k])
            snprintf(allowed[out->allowed.n++].reason, sizeof allowed->reason, "%s", scan_kind_names[k]);
    return 0;
}

/* When the commitment in the file was made; 0: there is no file. */
static int read_commitment(const struct offer *o, const char *path, const struct datanet *d,
                           struct kept_commitment *kept, uint64_t *time_s, struct err *e)
{
    char from[PATH_MAX];
    *time_s = 0;
    int rc = commitment_path(o, path, from, e);
    if (rc == 0)
        rc = notation_read_file(&kept_schema, from, KEPT_MAX_BYTES, kept, e);
    if (rc == OL_ENOTFOUND && !o->commitment)
        return 0;
    for (size_t i = 0; rc == 0 && i < d->n_commitments; i++)
        if (memcmp(d->commitments[i].hash, kept->commitment, 32) == 0 && !d->commitments[i].revealed)
            *time_s = d->commitments[i].time;
    if (rc == 0 && *time_s == 0)
        rc = err_set(e, OL_EINVAL, MODULE, "%s is not open in this Datanet; move it away if it is of no use any more", from);
    return rc;
}

static int record(const struct offer *o, struct datanet_session *s, const struct ingested *in, struct log_propose *body,
                  uint64_t now, struct err *e)
{
    struct ingest_options options = {0};
    int rc = read_options(o, &options, e);
    body->bytes = in->content.len;
    body->format = in->format;
    body->rows = in->rows;
    if (rc == 0)
        rc = read_labels(o, &body->labels, e);
    if (rc == 0)
        rc = list_refused(in, &options, body, e);
    if (rc == 0)
        rc = content_store(s->datanet->folder, buf_str(&in->content), in->content.len, body->sha256, e);
    if (rc == 0)
        rc = datanet_act(s->datanet, ACT_PROPOSE, body, &s->signer, now, e);
    if (rc != 0)
        datanet_drop_content(s->datanet, body->sha256, NULL);
    return rc;
}

static int propose(const struct offer *o, const char *path, struct err *e)
{
    struct log_propose body = {0};
    struct kept_commitment kept = {0};
    struct datanet_session s;
    struct ingested in = {0};
    uint8_t id[32];
    uint64_t now = (uint64_t)time(NULL), committed_at = 0;
    int rc = datanet_session_open(o->folder, &o->account, &s, e);
    if (rc == 0)
        rc = read_commitment(o, path, s.datanet, &kept, &committed_at, e);
    if (rc == 0)
        rc = check_file(o, path, &s, committed_at ? committed_at : datanet_next_time(s.datanet, now), &in, body.sha256,
                        id, e);
    if (rc == 0 && committed_at) {
        memcpy(body.commitment, kept.commitment, 32);
        memcpy(body.salt, kept.salt, 32);
        if (memcmp(kept.sha256, body.sha256, 32) != 0)
            rc = err_set(e, OL_EINVAL, MODULE,
                         "what of %s may enter is not what was committed to; move its commitment away "
                         "to register it as of now",
                         path);
    }
    if (rc == 0)
        rc = record(o, &s, &in, &body, now, e);
    if (rc == 0)
        print_report(&in, id, committed_at ? committed_at : s.datanet->time, o->json);
    log_body_free(ACT_PROPOSE, &body);
    ingested_free(&in);
    datanet_session_close(&s);
    return rc;
}

/* ---- options of both */

static int offer_command(const struct command *command, int argc, char **argv, bool is_commit)
{
    struct offer o = {.consent = "owner", .jurisdiction = "unstated"};
    const struct option options[] = {
        DATANET_FOLDER(&o.folder),
        TEXT("format", &o.format, "FORMAT", "text, markdown, chat or instruction (default: by name and first row)"),
        TEXT("commitment", &o.commitment, "FILE", "salt of a commitment (default: beside the file)"),
        LIST("allow", &o.allow, "KIND", "a finding that refuses no row: email, phone, …"),
        ACCOUNT_OPTIONS(o.account),
        FLAG("json", &o.json, "print JSON"),
        REQUIRED("licence", &o.licence, "SPDX", "licence of the contribution: CC-BY-4.0"),
        TEXT("consent", &o.consent, "WORD", "why it may be trained on: owner, granted, public"),
        TEXT("jurisdiction", &o.jurisdiction, "CODE", "whose law holds: EU, US-CA"),
        OPTIONS_END};
    struct option of_commit[sizeof options / sizeof *options];
    size_t n = sizeof options / sizeof *options - (is_commit ? 4 : 1); /* a commitment has no labels */
    memcpy(of_commit, options, sizeof options);
    of_commit[n] = (struct option)OPTIONS_END;
    struct err e = {0};
    int words = options_parse(command, of_commit, argc, argv, 1);
    int rc = words != 1 ? 0 : is_commit ? commit(&o, argv[1], &e) : propose(&o, argv[1], &e);
    free(o.allow.items);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}

int command_datanet_commit(const struct command *command, int argc, char **argv)
{
    return offer_command(command, argc, argv, true);
}

int command_datanet_propose(const struct command *command, int argc, char **argv)
{
    return offer_command(command, argc, argv, false);
}
