/* Opens an exported Datanet version and prints its rows: one JSON array per row, [id, row, text] or
 * [id, row, [role, content]…]. Exit status 1 and the reason on standard error when it does not open. */
#include "attribution/datanet.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>

static int print_row(void *user, const struct training_row *row)
{
    json_t *line = json_pack("[s,i]", user, (int)row->row);
    if (row->text)
        json_array_append_new(line, json_string(row->text));
    for (size_t i = 0; i < row->n_messages; i++)
        json_array_append_new(line, json_pack("[s,s]", row->messages[i].role, row->messages[i].content));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    return 0;
}

int main(int argc, char **argv)
{
    struct datanet_version *v;
    struct err e = {0};
    int rc = argc == 2 ? datanet_version_open(argv[1], &v, &e) : err_set(&e, OL_EINVAL, "dump", "one folder is needed");
    if (rc != 0) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        char id[65];
        hex_encode(v->contributions[i].id, 32, id);
        if (!v->contributions[i].withdrawn)
            rc = contribution_rows(&v->contributions[i], print_row, id, &e);
    }
    if (rc != 0)
        fprintf(stderr, "%s\n", e.message);
    datanet_version_close(v);
    return rc != 0;
}
