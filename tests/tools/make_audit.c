/* What a node publishes and keeps of answers under a policy, made with the code that nodes run: bodies of batches with
 * their headers, evidence, and bundles without their chain's part. Signed by a fixed key, for the contracts of a chain
 * file.
 *
 *   make_audit CHAIN POLICY MODEL ADAPTER OUT [ISA] < answers
 *
 * A line of input is an answer:
 * {"batch":1…,"gradients":bool,"policy":bool,"unpaid":bool,"prompt":[ids],"answer":[ids]}, batches ascending; the last
 * one, number 4, has one answer and is of another epoch. POLICY -: only prints the ids that a policy's document needs,
 * and the payer. Writes OUT/bodies/N.body.json and N.batch.json, OUT/evidence/N.json and OUT/bundles/N.json. */
#include "attribution/answer.h"
#include "base/sha256.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/chain_file.h"
#include "chainlite/settle/statement_make.h"
#include "model/adapter_file.h"
#include "training/lora_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ANSWERS = 64, BATCHES = 4, POSTINGS = 4096 };

static const uint8_t node_key[SECRET_BYTES] = {1}, payer_key[SECRET_BYTES] = {2};

struct world {
    const char *out;
    struct secp *secp;
    struct chain_file chain;
    struct domains domains;
    struct policy *policy;
    struct model_file *file;
    struct tokenizer *tokenizer;
    struct lora_model *lora;
    struct bundle_rows rows;
    struct row_version policy_row;
    struct signed_voucher voucher;
    uint8_t node[ADDRESS_BYTES], payer[ADDRESS_BYTES], body_hash[32], salt[32];
    int n, batch_of[ANSWERS];
    struct body_receipt receipt[ANSWERS];
    struct evidence evidence[ANSWERS];
    bool has_evidence[ANSWERS];
    struct signed_statement statement[ANSWERS];
    struct hash_element text[ANSWERS];
    struct outbox_mean mean;
    bool has_mean;
};

static struct err failure;

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) != 0) {                                                                                             \
            fprintf(stderr, "make_audit: %s: %s\n", #call, failure.message);                                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void write_struct(const struct world *w, const char *folder, int number, const char *end,
                         const struct schema *schema, const void *object)
{
    char path[4096];
    struct buf text;
    snprintf(path, sizeof path, "%s/%s", w->out, folder);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%d%s", w->out, folder, number, end);
    buf_init(&text, 64 << 20);
    notation_write(schema, object, &text);
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(buf_str(&text), 1, text.len, f) == text.len && fclose(f) == 0);
    buf_deinit(&text);
}

static void make_rows(struct world *w, const char *adapter)
{
    char hash[SHA256_HEX_BYTES];
    const uint8_t owner[ADDRESS_BYTES] = {9};
    struct bundle_rows *r = &w->rows;
    r->has_adapter = true;
    r->model = (struct row_version){.number = 1, .payee = {0xaa, 1}};
    item_id(ITEM_MODEL, owner, "base", r->model.item);
    MUST(model_file_version(w->file, hash, &failure));
    CHECK(hex_decode(hash, r->model.content_hash, 32));
    r->adapter = (struct row_version){.number = 1, .payee = {0xaa, 2}, .base_ppb = 250000000};
    item_id(ITEM_ADAPTER, owner, "adapter", r->adapter.item);
    MUST(adapter_file_hash(adapter, model_file_config(w->file), hash, &failure));
    CHECK(hex_decode(hash, r->adapter.content_hash, 32));
    version_id(&r->model, r->adapter.base_version);
    r->price = (struct row_price){.effective_time = 1750000000,
                                  .input_wei = 1000000000000001,
                                  .output_wei = 5000000000000007,
                                  .floor_wei = 1000,
                                  .compute_wei = 70000000011};
    memcpy(r->price.node, w->node, ADDRESS_BYTES);
    version_id(&r->adapter, r->price.version);
    r->split = (struct row_split){400000000, 300000000, 200000000, 100000000, {0xbb, 1}, {0xbb, 2}, {0xbb, 3}};
    w->policy_row = (struct row_version){.number = 1};
    item_id(ITEM_POLICY, owner, "policy", w->policy_row.item);
    version_id(&r->adapter, w->policy_row.base_version);
}

static void print_rows(const struct world *w)
{
    uint8_t model[32], adapter[32];
    char x[65], y[65], z[41];
    version_id(&w->rows.model, model);
    version_id(&w->rows.adapter, adapter);
    hex_encode(model, 32, x);
    hex_encode(adapter, 32, y);
    hex_encode(w->payer, ADDRESS_BYTES, z);
    printf("{\"model_version\":\"0x%s\",\"adapter_version\":\"0x%s\",\"payer\":\"0x%s\"}\n", x, y, z);
}

/* ---- answers */

static void read_ids(const json_t *from, struct list *out)
{
    uint32_t *ids = calloc(json_array_size(from) + 1, sizeof *ids);
    CHECK(ids);
    for (size_t i = 0; i < json_array_size(from); i++)
        ids[i] = (uint32_t)json_integer_value(json_array_get(from, i));
    *out = (struct list){ids, json_array_size(from)};
}

static void read_evidence(struct world *w, const json_t *line, const struct proof *p, struct evidence *v)
{
    struct evidence_tokens *prompt = calloc(1, sizeof *prompt);
    struct evidence_choice *choice = calloc(1, sizeof *choice);
    struct span_scratch scratch = {0};
    CHECK(prompt && choice);
    *v = (struct evidence){.version = EVIDENCE_VERSION, .prompts = {prompt, 1}, .choices = {choice, 1}};
    memcpy(v->receipt_id, p->receipt_id, 32);
    memcpy(v->payer, w->payer, ADDRESS_BYTES);
    read_ids(json_object_get(line, "prompt"), &prompt->ids);
    read_ids(json_object_get(line, "answer"), &choice->ids);
    if (!json_is_true(json_object_get(line, "policy")))
        return;
    version_id(&w->policy_row, v->policy);
    MUST(answer_spans(w->policy, &scratch, v, &failure));
    span_scratch_deinit(&scratch);
    if (json_is_true(json_object_get(line, "gradients"))) {
        int16_t *query = calloc(w->policy->vectors.sketch.dimensions, sizeof *query);
        CHECK(query);
        MUST(answer_query(w->policy, w->lora, v, query, &failure));
        MUST(answer_set_gradients(w->policy, query, v, &failure));
        free(query);
    }
}

static void hash_text(const struct world *w, const struct evidence *v, uint8_t out[HASH_BYTES])
{
    const struct list *ids = &((const struct evidence_choice *)v->choices.at)->ids;
    struct detokenizer d = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < ids->n; i++)
        detokenizer_push(&d, w->tokenizer, (int32_t)((uint32_t *)ids->at)[i], false, &text);
    detokenizer_finish(&d, &text);
    keccak256(buf_str(&text), text.len, out);
    buf_deinit(&text);
}

static void make_proof(struct world *w, int i, const json_t *line)
{
    struct body_receipt *r = &w->receipt[i];
    struct proof *p = &r->proof;
    struct sumnode *nodes = calloc(RECEIPT_MAX_SPANS, sizeof *nodes);
    struct fee fee;
    uint8_t digest[HASH_BYTES];
    char name[16];
    snprintf(name, sizeof name, "receipt %d", i);
    const bool last = w->batch_of[i] == BATCHES; /* and the only receipt of its epoch */
    *p = (struct proof){.epoch = last ? 3 : 2,
                        .sequence = last ? 1 : (uint64_t)i + 1,
                        .kind = KIND_CHAT,
                        .status = STATUS_STOP,
                        .start_time_ms = 1760000000000,
                        .payer_previous = last ? 0 : (uint64_t)i};
    keccak256(name, strlen(name), p->receipt_id);
    memcpy(p->node, w->node, ADDRESS_BYTES);
    memcpy(p->payer, w->payer, ADDRESS_BYTES);
    version_id(&w->rows.model, p->model_version);
    version_id(&w->rows.adapter, p->adapter_version);
    price_id(&w->rows.price, p->price_id);
    split_id(&w->rows.split, p->split_id);
    read_evidence(w, line, p, &w->evidence[i]);
    w->has_evidence[i] = json_is_true(json_object_get(line, "policy"));
    memcpy(p->attribution_policy, w->evidence[i].policy, 32);
    spans_root(w->evidence[i].spans.at, w->evidence[i].spans.n, nodes, p->span_root);
    hash_text(w, &w->evidence[i], w->text[i].hash);
    response_hash(w->salt, &w->text[i], 1, p->response_hash);
    salted_hash(w->salt, w->body_hash, p->request_hash);
    voucher_digest(&w->voucher.voucher, &w->domains, p->voucher_digest);
    p->prompt_tokens = (uint32_t)((struct evidence_tokens *)w->evidence[i].prompts.at)->ids.n;
    p->output_tokens = evidence_answer_tokens(&w->evidence[i]);
    MUST(fee_of(&w->rows.price, p->prompt_tokens, 0, p->output_tokens, STATUS_STOP, &fee, &failure));
    p->fee_wei = fee.royalty_wei + fee.compute_wei;
    p->payer_cumulative_wei = p->fee_wei + (i ? w->receipt[i - 1].proof.payer_cumulative_wei : 0);
    r->settled_wei = json_is_true(json_object_get(line, "unpaid")) ? 0 : p->fee_wei;
    proof_digest(p, &w->domains, digest);
    MUST(secp_sign(w->secp, node_key, digest, r->signature, &failure));
    free(nodes);
}

/* ---- statements, when the batch after theirs closes */

static struct outbox_attribution attribution_of(const struct evidence *v)
{
    struct outbox_attribution a = {.answer_tokens = evidence_answer_tokens(v),
                                   .open_tokens = v->open_tokens,
                                   .spans = v->spans,
                                   .has_gradient = v->has_gradients};
    if (v->has_gradients) {
        keccak256(v->gradients.query.at, v->gradients.query.n, a.query_hash);
        a.gradient = v->gradients.units;
    }
    return a;
}

static void make_statements(struct world *w, int batch)
{
    for (int i = 0; i < w->n; i++) {
        struct outbox_attribution a = attribution_of(&w->evidence[i]);
        uint8_t digest[HASH_BYTES];
        if (w->batch_of[i] != batch || !w->has_evidence[i])
            continue;
        MUST(statement_make(&w->receipt[i].proof, &a, w->has_mean ? &w->mean : NULL, &w->statement[i], &failure));
        statement_digest(&w->statement[i].statement, &w->domains, digest);
        MUST(secp_sign(w->secp, node_key, digest, w->statement[i].signature, &failure));
    }
    for (int i = 0; i < w->n; i++) { /* the mean is of earlier batches */
        struct outbox_attribution a = attribution_of(&w->evidence[i]);
        if (w->batch_of[i] != batch || !w->has_evidence[i] || !a.has_gradient)
            continue;
        MUST(mean_add(&w->mean, &a, &failure));
        w->has_mean = true;
    }
}

/* ---- bodies */

static int order(const void *a, const void *b) { return posting_order(a, b); }

static size_t add_postings(const struct world *w, int i, bool data, struct posting *out)
{
    struct part parts[MAX_PARTS_PER_RECEIPT];
    const struct proof *p = &w->receipt[i].proof;
    struct fee fee;
    int n;
    size_t made = 0;
    if (w->receipt[i].settled_wei == 0)
        return 0;
    MUST(fee_of(&w->rows.price, p->prompt_tokens, 0, p->output_tokens, STATUS_STOP, &fee, &failure));
    MUST(parts_of(&fee, &w->rows.split, &w->rows.adapter, &w->rows.model, p->node, parts, &n, &failure));
    for (int k = 0; k < n; k++) {
        if ((parts[k].role == ROLE_DATA) != data)
            continue;
        if (data && w->has_evidence[i])
            return shares_postings(w->statement[i].shares.at, w->statement[i].shares.n, parts[k].amount_wei,
                                   parts[k].beneficiary, p->sequence, out);
        out[made] = (struct posting){.sequence = p->sequence, .role = parts[k].role, .amount_wei = parts[k].amount_wei};
        memcpy(out[made++].beneficiary, parts[k].beneficiary, ADDRESS_BYTES);
    }
    return made;
}

static size_t add_credits(struct credit *credits, size_t n, const struct posting *p, size_t n_postings)
{
    for (size_t i = 0; i < n_postings; i++) {
        size_t k = 0;
        while (k < n && memcmp(credits[k].beneficiary, p[i].beneficiary, ADDRESS_BYTES) < 0)
            k++;
        if (k == n || memcmp(credits[k].beneficiary, p[i].beneficiary, ADDRESS_BYTES) != 0) {
            memmove(&credits[k + 1], &credits[k], (n - k) * sizeof *credits);
            credits[k] = (struct credit){0};
            memcpy(credits[k].beneficiary, p[i].beneficiary, ADDRESS_BYTES);
            n++;
        }
        credits[k].cumulative_wei += p[i].amount_wei;
    }
    return n;
}

static void close_header(struct batch *h, const struct body *b)
{
    static struct sumnode nodes[POSTINGS];
    struct sumnode root;
    for (size_t i = 0; i < b->receipts.n; i++) {
        const struct body_receipt *r = (const struct body_receipt *)b->receipts.at + i;
        uint8_t hash[HASH_BYTES];
        proof_struct_hash(&r->proof, hash);
        receipt_leaf(hash, r->settled_wei, &nodes[i]);
    }
    MUST(sumtree_root(nodes, b->receipts.n, &root, &failure));
    memcpy(h->receipts_root, root.hash, 32);
    h->settled_total_wei = root.sum_wei;
    for (size_t i = 0; i < b->postings.n; i++)
        posting_leaf((const struct posting *)b->postings.at + i, &nodes[i]);
    MUST(sumtree_root(nodes, b->postings.n, &root, &failure));
    memcpy(h->postings_root, root.hash, 32);
    h->postings_count = (uint32_t)b->postings.n;
    h->postings_total_wei = root.sum_wei;
    for (size_t i = 0; i < b->credits.n; i++)
        credit_leaf((const struct credit *)b->credits.at + i, &nodes[i]);
    MUST(sumtree_root(nodes, b->credits.n, &root, &failure));
    memcpy(h->credits_root, root.hash, 32);
    h->credits_count = (uint32_t)b->credits.n;
    h->credits_total_wei = root.sum_wei;
}

static void write_batch(struct world *w, int number, bool other_epoch)
{
    static struct posting postings[POSTINGS];
    static struct credit credits[POSTINGS];
    static struct signed_statement statements[ANSWERS];
    static size_t n_credits;
    struct row_version versions[] = {w->rows.model, w->rows.adapter, w->policy_row};
    struct body b = {.version = 1, .batch = {.number = (uint64_t)number + 4, .epoch = other_epoch ? 3 : 2}};
    size_t n = 0, n_statements = 0;
    int first = -1, count = 0;
    if (other_epoch)
        n_credits = 0;
    else if (number > 1)
        make_statements(w, number - 1);
    for (int i = 0; i < w->n; i++) {
        if (w->batch_of[i] == number - 1 && !other_epoch) {
            n += add_postings(w, i, true, &postings[n]);
            if (w->has_evidence[i])
                statements[n_statements++] = w->statement[i];
        }
        if (w->batch_of[i] != number)
            continue;
        first = first < 0 ? i : first;
        count++;
        n += add_postings(w, i, false, &postings[n]);
    }
    qsort(postings, n, sizeof *postings, order);
    n_credits = add_credits(credits, n_credits, postings, n);
    memcpy(b.batch.node, w->node, ADDRESS_BYTES);
    b.batch.first_sequence = w->receipt[first].proof.sequence;
    b.batch.count = (uint32_t)count;
    b.receipts = (struct list){&w->receipt[first], (size_t)count};
    b.postings = (struct list){postings, n};
    b.credits = (struct list){credits, n_credits};
    b.rows.versions = (struct list){versions, 3};
    b.rows.prices = (struct list){&w->rows.price, 1};
    b.rows.splits = (struct list){&w->rows.split, 1};
    b.statements = (struct list){statements, n_statements};
    close_header(&b.batch, &b);
    write_struct(w, "bodies", number, ".body.json", &body_schema, &b);
    struct batch header = b.batch;
    struct buf text;
    struct sha256 sha;
    header.submitted_at = 1760000100;
    buf_init(&text, 64 << 20);
    notation_write(&body_schema, &b, &text);
    sha256_init(&sha);
    sha256_add(&sha, buf_str(&text), text.len);
    sha256_end(&sha, header.body_hash);
    buf_deinit(&text);
    write_struct(w, "bodies", number, ".batch.json", &batch_schema, &header);
}

static void write_bundle(const struct world *w, int i, bool last)
{
    struct bundle b = {.version = BUNDLE_VERSION,
                       .chain_id = w->chain.chain_id,
                       .proof = w->receipt[i].proof,
                       .response_text_hashes = {(void *)(uintptr_t)&w->text[i], 1},
                       .rows = w->rows,
                       .has_voucher = true,
                       .voucher = w->voucher,
                       .has_attribution = w->has_evidence[i],
                       .informative = json_object()};
    struct part parts[MAX_PARTS_PER_RECEIPT];
    struct fee fee;
    int n;
    memcpy(b.salt, w->salt, 32);
    memcpy(b.request_body_hash, w->body_hash, 32);
    memcpy(b.signature, w->receipt[i].signature, SIGNATURE_BYTES);
    MUST(fee_of(&w->rows.price, b.proof.prompt_tokens, 0, b.proof.output_tokens, STATUS_STOP, &fee, &failure));
    MUST(parts_of(&fee, &w->rows.split, &w->rows.adapter, &w->rows.model, b.proof.node, parts, &n, &failure));
    b.parts = (struct list){parts, (size_t)n};
    b.attribution.policy = w->policy_row;
    b.attribution.spans = w->evidence[i].spans;
    b.attribution.has_statement = b.attribution.has_signature = !last;
    if (!last) {
        b.attribution.statement = w->statement[i].statement;
        memcpy(b.attribution.signature.at, w->statement[i].signature, SIGNATURE_BYTES);
        b.attribution.shares = w->statement[i].shares;
    }
    write_struct(w, "bundles", i + 1, ".json", &bundle_schema, &b);
    json_decref(b.informative);
}

static void make_voucher(struct world *w)
{
    struct voucher *v = &w->voucher.voucher;
    uint8_t digest[HASH_BYTES];
    memcpy(v->payer, w->payer, ADDRESS_BYTES);
    memcpy(v->node, w->node, ADDRESS_BYTES);
    v->ceiling_wei = (wei_t)1 << 80;
    w->salt[0] = 7;
    w->body_hash[0] = 8;
    salted_hash(w->salt, w->body_hash, v->request_hash);
    voucher_digest(v, &w->domains, digest);
    MUST(secp_sign(w->secp, payer_key, digest, w->voucher.signature, &failure));
}

static void open_world(struct world *w, int argc, char **argv)
{
    const struct train_config config = {.threads = 1, .isa = argc > 6 ? argv[6] : NULL};
    w->out = argv[5];
    MUST(chain_file_load(argv[1], &w->chain, &failure));
    w->secp = secp_open(node_key);
    CHECK(w->secp);
    MUST(secp_address(w->secp, node_key, w->node, &failure));
    MUST(secp_address(w->secp, payer_key, w->payer, &failure));
    domains_make(w->chain.chain_id, chain_file_contract(&w->chain, "Settlement"),
                 chain_file_contract(&w->chain, "Escrow"), &w->domains);
    make_voucher(w);
    MUST(model_file_open(argv[3], &w->file, &failure));
    make_rows(w, argv[4]);
    if (strcmp(argv[2], "-") == 0) {
        print_rows(w);
        exit(0);
    }
    MUST(policy_open(argv[2], &w->policy, &failure));
    memcpy(w->policy_row.content_hash, w->policy->hash, 32);
    MUST(model_file_gguf(w->file) ? tokenizer_open_gguf(model_file_gguf(w->file), &w->tokenizer, &failure)
                                  : tokenizer_open_dir(model_file_dir(w->file), &w->tokenizer, &failure));
    MUST(lora_model_open(w->file, &config, &w->lora, &failure));
    MUST(lora_model_load_adapter(w->lora, argv[4], &failure));
}

int main(int argc, char **argv)
{
    static struct world w;
    static char line[1 << 20];
    if (argc < 6) {
        fprintf(stderr, "usage: make_audit CHAIN POLICY|- MODEL ADAPTER OUT [ISA] < answers\n");
        return 2;
    }
    open_world(&w, argc, argv);
    mkdir(w.out, 0755);
    for (; w.n < ANSWERS && fgets(line, sizeof line, stdin); w.n++) {
        json_t *answer = notation_load(line, strlen(line), &failure);
        CHECK(answer);
        w.batch_of[w.n] = (int)json_integer_value(json_object_get(answer, "batch"));
        make_proof(&w, w.n, answer);
        json_decref(answer);
    }
    for (int k = 1; k <= BATCHES; k++)
        write_batch(&w, k, k == BATCHES);
    for (int i = 0; i < w.n; i++) {
        if (w.has_evidence[i])
            write_struct(&w, "evidence", i + 1, ".json", &evidence_schema, &w.evidence[i]);
        write_bundle(&w, i, w.batch_of[i] >= BATCHES - 1);
    }
    return 0;
}
