/* openlora datanet show, log: what a Datanet consists of, and who did what. */
#include "chainlite/core/hex.h"
#include "cli/datanet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *addresses_json(const struct list *addresses)
{
    const struct log_address *a = addresses->at;
    json_t *out = json_array();
    for (size_t i = 0; i < addresses->n; i++)
        json_array_append_new(out, datanet_hex_json(a[i].at, ADDRESS_BYTES));
    return out;
}

static json_t *proposal_json(const struct datanet *d, const struct proposal *p)
{
    const struct contribution *c = &p->contribution;
    return json_pack("{s:o,s:o,s:s,s:i,s:I,s:o,s:I,s:s,s:i,s:s,s:s,s:s}", "id", datanet_hex_json(c->id, 32),
                     "contributor", datanet_hex_json(c->contributor, ADDRESS_BYTES), "status",
                     proposal_status_name(p->status), "version", (int)datanet_first_version(d, p), "registered_at",
                     (json_int_t)c->registered_at, "sha256", datanet_hex_json(c->sha256, 32), "bytes",
                     (json_int_t)c->bytes, "format", content_format_names[c->format], "rows", (int)p->rows, "licence",
                     c->labels.licence, "consent", c->labels.consent, "jurisdiction", c->labels.jurisdiction);
}

static json_t *datanet_json(const struct datanet *d)
{
    json_t *contributions = json_array(), *versions = json_array();
    for (size_t i = 0; i < d->n_proposals; i++)
        json_array_append_new(contributions, proposal_json(d, &d->proposals[i]));
    for (size_t i = 0; i < d->n_versions; i++) {
        const struct catalogued_version *v = &d->versions[i].is.row;
        json_array_append_new(versions, json_pack("{s:i,s:o,s:o}", "number", (int)v->row.number, "version",
                                                  datanet_hex_json(v->id, 32), "root",
                                                  datanet_hex_json(v->row.content_hash, 32)));
    }
    return json_pack("{s:s,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o}", "name", d->settings.name, "item",
                     datanet_hex_json(d->item, 32), "owner", datanet_hex_json(d->owner, ADDRESS_BYTES), "chain_id",
                     (json_int_t)d->settings.chain_id, "reviewers", addresses_json(&d->settings.members.reviewers),
                     "contributors", addresses_json(&d->settings.members.contributors), "contributions", contributions,
                     "versions", versions, "log_head", datanet_hex_json(d->head, 32));
}

static void when(uint64_t time_s, char out[24])
{
    time_t t = (time_t)time_s;
    struct tm utc;
    if (!gmtime_r(&t, &utc) || !strftime(out, 24, "%Y-%m-%d %H:%M:%SZ", &utc))
        snprintf(out, 24, "%lld", (long long)t);
}

static void print_datanet(const struct datanet *d)
{
    char text[65], owner[ADDRESS_TEXT_BYTES], at[24];
    hex_encode(d->item, 32, text);
    address_format(d->owner, owner);
    printf("%s  0x%s\nowner %s, %zu reviewers beside, ", d->settings.name, text, owner,
           d->settings.members.reviewers.n);
    if (d->settings.members.contributors.n)
        printf("%zu contributors\n\n", d->settings.members.contributors.n);
    else
        printf("anybody contributes\n\n");
    printf("%-14s %-42s %-20s %-9s %7s %6s %9s  %s\n", "CONTRIBUTION", "CONTRIBUTOR", "REGISTERED", "STATUS", "VERSION",
           "ROWS", "BYTES", "LABELS");
    for (size_t i = 0; i < d->n_proposals; i++) {
        const struct proposal *p = &d->proposals[i];
        const struct contribution *c = &p->contribution;
        char version[12] = "-";
        hex_encode(c->id, 32, text);
        address_format(c->contributor, owner);
        when(c->registered_at, at);
        if (datanet_first_version(d, p))
            snprintf(version, sizeof version, "%u", datanet_first_version(d, p));
        printf("0x%.12s %-42s %-20s %-9s %7s %6u %9llu  %s, %s, %s\n", text, owner, at, proposal_status_name(p->status),
               version, p->rows, (unsigned long long)c->bytes, c->labels.licence, c->labels.consent,
               c->labels.jurisdiction);
    }
    for (size_t i = 0; i < d->n_versions; i++) {
        hex_encode(d->versions[i].is.row.id, 32, text);
        printf("%sversion %zu  0x%s\n", i ? "" : "\n", i + 1, text);
    }
}

int command_datanet_show(const struct command *command, int argc, char **argv)
{
    const char *folder;
    bool json = false;
    const struct option options[] = {DATANET_FOLDER(&folder), FLAG("json", &json, "print JSON"), OPTIONS_END};
    struct datanet *d;
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    if (datanet_open(folder, false, &d, &e) != 0)
        return fail(command, EXIT_FAILED, "%s", e.message);
    if (json) {
        json_t *out = datanet_json(d);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(out);
    } else {
        print_datanet(d);
    }
    datanet_close(d);
    return EXIT_OK;
}

/* What a line is about: a contribution, a commitment, a version. */
static void print_subject(const struct log_entry *entry)
{
    static const char *const keys[] = {"contribution", "commitment", "sha256", "name"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = json_string_value(json_object_get(entry->body, keys[i]));
        if (text && strspn(text, "0x") < strlen(text)) { /* an absent commitment is all zeros */
            printf("  %s %.14s", keys[i], text);
            break;
        }
    }
    const json_t *row = json_object_get(entry->body, "row");
    if (row)
        printf("  version %d %.14s", (int)json_integer_value(json_object_get(row, "number")),
               json_string_value(json_object_get(row, "id")));
    const char *reason = json_string_value(json_object_get(entry->body, "reason"));
    if (reason && *reason)
        printf("  %s", reason);
}

static int print_entry(void *user, const struct log_entry *entry)
{
    (void)user;
    char actor[ADDRESS_TEXT_BYTES], at[24];
    address_format(entry->actor, actor);
    when(entry->time, at);
    printf("%4llu  %s  %s  %-8s", (unsigned long long)entry->sequence, at, actor, datanet_action_name(entry->action));
    print_subject(entry);
    putchar('\n');
    return 0;
}

static int print_line(void *user, const struct log_entry *entry)
{
    (void)user;
    struct buf line;
    buf_init(&line, LOG_LINE_MAX_BYTES);
    log_entry_write(entry, &line);
    puts(buf_str(&line));
    buf_deinit(&line);
    return 0;
}

int command_datanet_log(const struct command *command, int argc, char **argv)
{
    const char *folder;
    bool json = false;
    const struct option options[] = {DATANET_FOLDER(&folder), FLAG("json", &json, "print the lines as they are"),
                                     OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    int rc = datanet_log_each(folder, json ? print_line : print_entry, NULL, &e);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
