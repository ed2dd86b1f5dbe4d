/* One change at a time in what a node published, and what `openlora audit` says to each: every number, every hash,
 * every byte of a vector, every list shortened.
 *
 *   audit_flips CHAIN WORK MODEL ADAPTER evidence|bundle|body|lie NUMBER
 *
 * WORK is the world of tests/golden/audit_world.py, and gets a folder of copies; NUMBER names the file. evidence and
 * bundle: the file alone changes. body: the header beside it follows, as somebody would do it who may not sign. lie: so
 * do signatures, roots and totals, as the node itself would do it. A line per change: the place, a tab, the checks that
 * differ, a tab, those that are unavailable and were not before. The first line, "-", is without a change. */
#include "base/file_map.h"
#include "base/sha256.h"
#include "chainlite/json/notation.h"
#include "cli/audit_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "audit_flips"

static const uint8_t node_key[SECRET_BYTES] = {1}; /* of tests/tools/make_audit.c */

enum { PATH_BYTES = 4096, ONE_CHANGE = 2 + 2 * SIGNATURE_BYTES }; /* longer texts are changed at each byte */

struct flips {
    const char *work, *kind;
    int number;
    char scratch[PATH_BYTES];
    struct secp *secp;
    struct chain_file chain;
    struct domains domains;
    struct audit_model model;                 /* opened once */
    uint32_t differ, missing, missing_before; /* bits: 1 << enum audit_check */
    char place[256];
};

static struct err failure;

static void must(int rc)
{
    if (rc != 0) {
        fprintf(stderr, MODULE ": %s\n", failure.message);
        exit(1);
    }
}

/* ---- changing */

static const char *place_in(struct flips *f, const char *name)
{
    size_t n = strlen(f->place);
    snprintf(f->place + n, sizeof f->place - n, "%s%s", n ? "." : "", name);
    return f->place;
}

/* The last digit of a number in a text, or one of each byte's: variant counts them. */
static json_t *changed_text(const char *text, size_t variant)
{
    char *copy = strdup(text);
    size_t n = strlen(text), at = n <= ONE_CHANGE ? n - 1 : 2 + 2 * variant + 1;
    CHECK(copy && n > 0 && at < n);
    char c = copy[at];
    copy[at] = c == 'f' ? 'e' : c == '9' ? '8' : c == 'z' ? 'y' : (char)(c + 1);
    json_t *out = json_string(copy);
    free(copy);
    return out;
}

static size_t variants(const json_t *j)
{
    size_t n = json_is_string(j) ? strlen(json_string_value(j)) : 0;
    return json_is_integer(j) || json_is_boolean(j) ? 1 : n == 0 ? 0 : n <= ONE_CHANGE ? 1 : (n - 2) / 2;
}

/* The change number *left, counted in the order of the text; NULL: it is not in here. Depth is that of the schemas. */
static json_t *change(struct flips *f, const json_t *j, size_t *left)
{
    const size_t before = strlen(f->place), own = variants(j);
    char name[32];
    const char *key;
    json_t *value, *new;
    size_t i;
    if (own) {
        if (*left >= own) {
            *left -= own;
            return NULL;
        }
        return json_is_integer(j)   ? json_integer(json_integer_value(j) + 1)
               : json_is_boolean(j) ? json_boolean(json_is_false(j))
                                    : changed_text(json_string_value(j), *left);
    }
    if (json_is_array(j) && json_array_size(j) && (*left)-- == 0) {
        new = json_deep_copy(j);
        json_array_remove(new, 0);
        place_in(f, "shorter");
        return new;
    }
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        place_in(f, key);
        if ((new = change(f, value, left)) != NULL) {
            json_t *out = json_deep_copy(j);
            json_object_set_new(out, key, new);
            return out;
        }
        f->place[before] = 0;
    }
    json_array_foreach((json_t *)(uintptr_t)j, i, value)
    {
        snprintf(name, sizeof name, "%zu", i);
        place_in(f, name);
        if ((new = change(f, value, left)) != NULL) {
            json_t *out = json_deep_copy(j);
            json_array_set_new(out, i, new);
            return out;
        }
        f->place[before] = 0;
    }
    return NULL;
}

/* ---- following a change in a body */

static void write_file(const char *path, const void *text, size_t n)
{
    FILE *file = fopen(path, "w");
    CHECK(file && fwrite(text, 1, n, file) == n && fclose(file) == 0);
}

typedef void (*leaf_of)(const void *row, struct sumnode *out);
static void receipt_row(const void *row, struct sumnode *out)
{
    const struct body_receipt *r = row;
    uint8_t hash[HASH_BYTES];
    proof_struct_hash(&r->proof, hash);
    receipt_leaf(hash, r->settled_wei, out);
}
static void posting_row(const void *row, struct sumnode *out) { posting_leaf(row, out); }
static void credit_row(const void *row, struct sumnode *out) { credit_leaf(row, out); }

static void follow_tree(const struct list *rows, size_t bytes, leaf_of leaf, uint8_t root[32], wei_t *total)
{
    struct sumnode *nodes = calloc(rows->n + 1, sizeof *nodes), top;
    CHECK(nodes);
    for (size_t i = 0; i < rows->n; i++)
        leaf((const char *)rows->at + i * bytes, &nodes[i]);
    must(sumtree_root(nodes, rows->n, &top, &failure));
    memcpy(root, top.hash, 32);
    *total = top.sum_wei;
    free(nodes);
}

/* Signatures, roots and totals, but for what was changed itself. */
static void follow(const struct flips *f, struct body *b)
{
    struct batch *h = &b->batch;
    struct body_receipt *r = b->receipts.at;
    struct signed_statement *s = b->statements.at;
    struct sumnode nodes[64];
    uint8_t digest[HASH_BYTES];
    for (size_t i = 0; i < b->receipts.n; i++) {
        proof_digest(&r[i].proof, &f->domains, digest);
        must(secp_sign(f->secp, node_key, digest, r[i].signature, &failure));
    }
    for (size_t i = 0; i < b->statements.n; i++) {
        struct attribution_statement *st = &s[i].statement;
        if (strstr(f->place, ".shares.")) {
            st->shares_count = (uint32_t)s[i].shares.n;
            (void)!shares_root(s[i].shares.at, s[i].shares.n, nodes, st->shares_root, &st->shares_total, &failure);
        }
        statement_digest(st, &f->domains, digest);
        must(secp_sign(f->secp, node_key, digest, s[i].signature, &failure));
    }
    if (strncmp(f->place, "batch.", 6) == 0)
        return;
    h->count = (uint32_t)b->receipts.n;
    h->postings_count = (uint32_t)b->postings.n;
    h->credits_count = (uint32_t)b->credits.n;
    follow_tree(&b->receipts, sizeof *r, receipt_row, h->receipts_root, &h->settled_total_wei);
    follow_tree(&b->postings, sizeof(struct posting), posting_row, h->postings_root, &h->postings_total_wei);
    follow_tree(&b->credits, sizeof(struct credit), credit_row, h->credits_root, &h->credits_total_wei);
}

/* The body's text as it is then, with its header beside it. */
static void write_body(struct flips *f, const char *text, const char *path, const char *header_path)
{
    struct body b;
    struct batch header;
    struct sha256 sha;
    struct buf out;
    write_file(path, text, strlen(text));
    if (notation_parse(&body_schema, text, strlen(text), &b, &failure))
        return; /* refused when it is read: the header stays */
    buf_init(&out, 64 << 20);
    if (strcmp(f->kind, "lie") == 0)
        follow(f, &b);
    notation_write(&body_schema, &b, &out);
    write_file(path, buf_str(&out), out.len);
    header = b.batch;
    header.submitted_at = 1760000100;
    sha256_init(&sha);
    sha256_add(&sha, buf_str(&out), out.len);
    sha256_end(&sha, header.body_hash);
    buf_reset(&out);
    notation_write(&batch_schema, &header, &out);
    write_file(header_path, buf_str(&out), out.len);
    buf_deinit(&out);
    schema_free(&body_schema, &b);
}

/* ---- auditing */

static void report(void *user, const struct audit_subject *s)
{
    struct flips *f = user;
    for (int c = 0; c < AUDIT_CHECKS; c++) {
        f->differ |= (uint32_t)(s->check[c].outcome == AUDIT_DIFFERS) << c;
        f->missing |= (uint32_t)(s->check[c].outcome == AUDIT_UNAVAILABLE) << c;
    }
}

static void no_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    (void)done;
    (void)total;
}

static void run(struct flips *f, const char *const *paths, int n_paths, const char *evidence)
{
    char policy[PATH_BYTES];
    const char *policies[] = {policy}, *evidences[] = {evidence};
    struct audit_inputs in = {
        .paths = paths, .n_paths = n_paths, .policies = {policies, 1}, .evidence = {evidences, 1}};
    struct audit a = {
        .secp = f->secp, .chain = &f->chain, .sample.ppb = PPB, .report = report, .progress = no_progress, .user = f};
    snprintf(policy, sizeof policy, "%s/policy", f->work);
    f->differ = f->missing = 0;
    must(audit_inputs_read(&in, &a, &failure));
    a.model = f->model;
    if (audit_prepare(&a, &failure))
        f->differ |= 1U << AUDIT_FILE; /* a body or a receipt twice */
    else
        must(audit_run(&a, NULL, &failure));
    f->model = a.model;
    a.model = (struct audit_model){0};
    audit_deinit(&a);
}

static void print_checks(uint32_t set)
{
    putchar('\t');
    for (int c = 0, n = 0; c < AUDIT_CHECKS; c++)
        if (set >> c & 1)
            printf("%s%s", n++ ? "," : "", audit_check_name((enum audit_check)c));
}

/* The files as they are, but for the one in the scratch folder. */
static void try_text(struct flips *f, const char *text)
{
    char bodies[PATH_BYTES + 32], evidence[PATH_BYTES + 32], bundle[PATH_BYTES + 64], header[PATH_BYTES + 64];
    char body[PATH_BYTES + 64];
    const char *paths[2] = {bodies, bundle};
    const bool of_body = strcmp(f->kind, "body") == 0 || strcmp(f->kind, "lie") == 0;
    snprintf(bodies, sizeof bodies, "%s/bodies", f->scratch);
    snprintf(evidence, sizeof evidence, "%s/node/evidence", f->work);
    snprintf(bundle, sizeof bundle, "%s/node/bundles/%d.json", f->work, f->number);
    if (of_body) {
        snprintf(body, sizeof body, "%s/bodies/%d.body.json", f->scratch, f->number);
        snprintf(header, sizeof header, "%s/bodies/%d.batch.json", f->scratch, f->number);
        write_body(f, text, body, header);
    } else if (strcmp(f->kind, "evidence") == 0) {
        snprintf(evidence, sizeof evidence, "%s/evidence.json", f->scratch);
        write_file(evidence, text, strlen(text));
    } else {
        snprintf(bundle, sizeof bundle, "%s/bundle.json", f->scratch);
        snprintf(evidence, sizeof evidence, "%s/node/evidence/%d.json", f->work, f->number);
        write_file(bundle, text, strlen(text));
    }
    run(f, paths, of_body ? 1 : 2, evidence);
    printf("%s", *f->place ? f->place : "-");
    print_checks(f->differ);
    print_checks(f->missing & ~f->missing_before);
    putchar('\n');
}

static void copy_bodies(const struct flips *f)
{
    char to[PATH_BYTES + 64], from[PATH_BYTES + 64];
    struct file_map file;
    snprintf(to, sizeof to, "%s/bodies", f->scratch);
    mkdir(to, 0755);
    for (int i = 1; i <= 8; i++) {
        const char *end = i % 2 ? "body" : "batch";
        snprintf(from, sizeof from, "%s/node/bodies/%d.%s.json", f->work, (i + 1) / 2, end);
        snprintf(to, sizeof to, "%s/bodies/%d.%s.json", f->scratch, (i + 1) / 2, end);
        must(file_map_init(&file, from, &failure));
        write_file(to, file.data, file.len);
        file_map_deinit(&file);
    }
}

static void open_all(struct flips *f, char **argv)
{
    struct audit opened = {.chain = &f->chain};
    const struct audit_inputs in = {.model = argv[3], .adapter = argv[4]};
    f->work = argv[2];
    f->kind = argv[5];
    f->number = argv[6][0] - '0';
    f->secp = secp_open(node_key);
    snprintf(f->scratch, sizeof f->scratch, "%s/flips_XXXXXX", f->work);
    CHECK(f->secp && mkdtemp(f->scratch));
    must(chain_file_load(argv[1], &f->chain, &failure));
    domains_make(f->chain.chain_id, chain_file_contract(&f->chain, "Settlement"),
                 chain_file_contract(&f->chain, "Escrow"), &f->domains);
    must(audit_inputs_read(&in, &opened, &failure));
    f->model = opened.model;
    f->model.threads = 1;
    copy_bodies(f);
}

int main(int argc, char **argv)
{
    static struct flips f;
    char path[PATH_BYTES + 64];
    struct file_map file;
    if (argc != 7) {
        fprintf(stderr, "usage: audit_flips CHAIN WORK MODEL ADAPTER evidence|bundle|body|lie NUMBER\n");
        return 2;
    }
    open_all(&f, argv);
    const char *folder = strcmp(f.kind, "evidence") == 0 ? "evidence"
                         : strcmp(f.kind, "bundle") == 0 ? "bundles"
                                                         : "bodies";
    snprintf(path, sizeof path, "%s/node/%s/%d%s.json", f.work, folder, f.number,
             *folder == 'b' && folder[1] == 'o' ? ".body" : "");
    must(file_map_init(&file, path, &failure));
    json_t *root = notation_load((const char *)file.data, file.len, &failure);
    CHECK(root);
    for (size_t k = 0;; k++) {
        size_t left = k - 1;
        *f.place = 0;
        json_t *changed = k ? change(&f, root, &left) : json_incref(root);
        if (!changed)
            break;
        char *text = json_dumps(changed, JSON_COMPACT);
        CHECK(text);
        try_text(&f, text);
        if (k == 0)
            f.missing_before = f.missing;
        free(text);
        json_decref(changed);
    }
    json_decref(root);
    file_map_deinit(&file);
    return 0;
}
