/* openlora datanet check, and how every command reports on rows. */
#include "chainlite/core/hex.h"
#include "cli/datanet.h"

#include <stdio.h>
#include <stdlib.h>

json_t *datanet_hex_json(const uint8_t *bytes, size_t n)
{
    char hex[65];
    CHECK(n <= 32);
    hex_encode(bytes, n, hex);
    return json_sprintf("0x%s", hex);
}

void datanet_print_lines(const struct ingested *in)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct ingest_line *l = &in->lines[i];
        char other[65] = "";
        if (l->has_other)
            hex_encode(l->other, 32, other);
        printf("  line %-6u %-8s %-13s %s%s%.12s\n", l->line, l->noted ? "noted" : "refused", l->reason, l->detail,
               l->has_other ? ": 0x" : "", other);
    }
}

json_t *datanet_lines_json(const struct ingested *in)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < in->n; i++) {
        const struct ingest_line *l = &in->lines[i];
        json_t *other = l->has_other ? datanet_hex_json(l->other, 32) : json_null();
        json_array_append_new(lines, json_pack("{s:i,s:s,s:s,s:b,s:o}", "line", (int)l->line, "reason", l->reason,
                                               "detail", l->detail, "refused", !l->noted, "other", other));
    }
    return lines;
}

struct findings {
    json_t *report; /* NULL: for people */
    bool refused;
};

static int report(void *user, struct proposal *p, const struct ingested *in)
{
    struct findings *f = user;
    char id[65];
    f->refused |= in->n_refused != 0;
    if (f->report) {
        json_array_append_new(f->report, json_pack("{s:o,s:i,s:i,s:o}", "contribution",
                                                   datanet_hex_json(p->contribution.id, 32), "rows", (int)in->rows,
                                                   "refused", (int)in->n_refused, "lines", datanet_lines_json(in)));
        return 0;
    }
    hex_encode(p->contribution.id, 32, id);
    printf("0x%s  %u rows, %u to refuse\n", id, in->rows, in->n_refused);
    datanet_print_lines(in);
    return 0;
}

int command_datanet_check(const struct command *command, int argc, char **argv)
{
    const char *folder;
    bool json = false;
    const struct option options[] = {DATANET_FOLDER(&folder), FLAG("json", &json, "print JSON"), OPTIONS_END};
    struct findings f = {0};
    struct datanet *d;
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    f.report = json ? json_array() : NULL;
    int rc = datanet_open(folder, false, &d, &e);
    if (rc == 0)
        rc = ingest_proposals(d, report, &f, &e);
    if (rc == 0 && json) {
        json_dumpf(f.report, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(f.report);
    datanet_close(d);
    if (rc != 0)
        return fail(command, EXIT_FAILED, "%s", e.message);
    return f.refused ? EXIT_INCOMPLETE : EXIT_OK;
}
