/* The settlement daemon: configuration, keys, outbox, recorder, the chain, and the API on a Unix socket. SIGTERM or SIGINT
 * finishes what is being answered and stops; killing it at any time loses nothing that was acknowledged. */
#include "base/clock.h"
#include "base/log.h"
#include "chainlite/api/api.h"
#include "chainlite/api/lane_hooks.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/chain_file.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/payer_view.h"

#include <curl/curl.h>
#include <errno.h>
#include <mbedtls/platform_util.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, SWEEP_S = 60, DRAIN_MS = 10000, PATH_BYTES = 4096 };
enum { MAX_CONNECTIONS = 256, MAX_BODY_BYTES = 16 << 20 /* 256 answers with their spans */ };

struct node { /* everything that runs, in the order in which it is opened */
    const struct options *options;
    char keys_folder[PATH_BYTES], outbox_folder[PATH_BYTES];
    struct chain_file chain;
    uint8_t settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES], registry[ADDRESS_BYTES]; /* 0 without a chain file */
    struct rpc_config rpc;
    struct keystore *keys;
    struct outbox *outbox;
    struct payer_view *payers;
    struct chain_view view;
    struct recorder *recorder;
    struct statements *statements;
    struct lane *lane;
    struct api api;
    struct http_server *server;
};

/* ---- opening */

static int paths(struct node *n, struct err *e)
{
    const char *state = n->options->state_dir;
    if (snprintf(n->keys_folder, PATH_BYTES, "%s/keys", state) >= PATH_BYTES ||
        snprintf(n->outbox_folder, PATH_BYTES, "%s/outbox", state) >= PATH_BYTES)
        return err_set(e, OL_EINVAL, "chainlited", "state_dir is too long");
    if (mkdir(state, 0700) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, "chainlited", "making the folder %.160s: %s", state, strerror(errno));
    return 0;
}

static int open_chain_file(struct node *n, struct err *e)
{
    static const char *const names[] = {"Settlement", "Escrow", "Registry"};
    uint8_t *to[] = {n->settlement, n->escrow, n->registry};
    const struct options *o = n->options;
    int rc = o->chain ? chain_file_load(o->chain, &n->chain, e) : 0;
    for (int i = 0; rc == 0 && i < 3; i++) {
        const uint8_t *at = chain_file_contract(&n->chain, names[i]);
        if (at)
            memcpy(to[i], at, ADDRESS_BYTES);
        else if (!o->no_chain)
            rc = err_set(e, OL_EINVAL, "chainlited", "the chain file %.120s does not name the contract %s: deploy it first",
                         o->chain, names[i]);
    }
    return rc;
}

/* The lane is opened after the recorder, which asks it; until then nothing may be signed. */
static int node_epoch(void *user, uint64_t *out, struct err *e)
{
    const struct node *n = user;
    return n->lane ? lane_epoch(n->lane, out, e) : err_set(e, OL_EBUSY, "chainlited", "starting");
}

static int open_view(struct node *n, struct err *e)
{
    const struct options *o = n->options;
    n->rpc = (struct rpc_config){.urls = (const char *const *)o->rpc,
                                 .n_urls = (size_t)o->n_rpc,
                                 .quorum = (unsigned)o->quorum,
                                 .chain_id = n->chain.chain_id,
                                 .max_head_age_s = (uint64_t)o->max_head_age_s,
                                 .max_head_lag = 16};
    chain_file_rules(&n->chain, &n->rpc.rules);
    struct payer_view_config config = {.rpc = &n->rpc, .max_age_ms = 1000 * o->max_proof_age_s, .epoch = node_epoch,
                                       .epoch_user = n};
    memcpy(config.node, keystore_node(n->keys), ADDRESS_BYTES);
    memcpy(config.escrow, n->escrow, ADDRESS_BYTES);
    memcpy(config.registry, n->registry, ADDRESS_BYTES);
    int rc = payer_view_open(&config, &n->payers, e);
    if (rc == 0)
        n->view = payer_view_of(n->payers);
    return rc;
}

static int open_recorder(struct node *n, struct err *e)
{
    const struct options *o = n->options;
    struct recorder_config config = {.chain_id = n->chain.chain_id,
                                     .view = n->payers ? &n->view : NULL,
                                     .max_exposure_wei = o->max_exposure_wei,
                                     .tenant_daily_cap_wei = o->tenant_daily_cap_wei,
                                     .max_age_ms = 1000 * o->max_proof_age_s};
    memcpy(config.settlement, n->settlement, ADDRESS_BYTES);
    memcpy(config.escrow, n->escrow, ADDRESS_BYTES);
    return recorder_open(&config, n->outbox, n->keys, &n->recorder, e);
}

static int sign_statement(void *user, const uint8_t digest[HASH_BYTES], uint8_t signature[SIGNATURE_BYTES], struct err *e)
{
    const struct keystore *keys = user;
    return keystore_sign(keys, keystore_node(keys), digest, signature, e);
}

static int open_statements(struct node *n, struct err *e)
{
    struct statements_config config = {.outbox = n->outbox, .sign = sign_statement, .user = n->keys};
    domains_make(n->chain.chain_id, n->settlement, n->escrow, &config.domains);
    return statements_open(&config, &n->statements, e);
}

static int open_lane(struct node *n, struct err *e)
{
    struct lane_config config;
    lane_configure(n->options, &n->rpc, &n->chain, n->keys, n->recorder, &config);
    config.statements = n->statements;
    int rc = lane_open(&config, n->outbox, &n->lane, e);
    if (rc == 0) {
        lane_hook(n->lane, &n->api);
        rc = lane_start(n->lane, e);
    }
    return rc;
}

static void fill_api(struct node *n)
{
    const struct options *o = n->options;
    n->api = (struct api){.recorder = n->recorder, .outbox = n->outbox, .statements = n->statements,
                          .keys = n->keys, .chain = &n->chain,
                          .catalog_path = o->catalog, .state_dir = o->state_dir, .no_chain = o->no_chain};
}

static int open_server(struct node *n, struct err *e)
{
    const struct options *o = n->options;
    struct http_config config = {.unix_path = o->socket,
                                 .peer_uid = o->allowed_uid < 0 ? geteuid() : (uid_t)o->allowed_uid,
                                 .threads = (int)o->threads,
                                 .max_connections = MAX_CONNECTIONS,
                                 .timeout_s = 120,
                                 .max_body_bytes = MAX_BODY_BYTES};
    int rc = http_server_open(&config, &n->server, e);
    return rc ? rc : http_server_start(n->server, api_routes, n_api_routes, &n->api, e);
}

static int open_node(struct node *n, struct err *e)
{
    const struct options *o = n->options;
    int rc = paths(n, e);
    if (rc == 0)
        rc = open_chain_file(n, e);
    if (rc == 0)
        rc = keystore_open(&(struct keystore_config){n->keys_folder, o->passphrase_file}, &n->keys, e);
    if (rc == 0)
        rc = outbox_open(&(struct outbox_config){.path = n->outbox_folder, .min_free_bytes = (uint64_t)o->min_free_mb << 20},
                         &n->outbox, e);
    if (rc == 0 && !o->no_chain)
        rc = open_view(n, e);
    if (rc == 0)
        rc = open_recorder(n, e);
    if (rc == 0)
        rc = open_statements(n, e);
    if (rc == 0) {
        fill_api(n);
        rc = api_reload(&n->api, e);
    }
    if (rc == 0 && !o->no_chain)
        rc = open_lane(n, e);
    return rc ? rc : open_server(n, e);
}

static void close_node(struct node *n)
{
    if (n->payers)
        payer_view_cancel(n->payers);
    for (int ms = 0; n->server && http_server_active(n->server) > 0 && ms < DRAIN_MS; ms += 10)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    http_server_close(n->server);
    if (n->lane)
        lane_stop(n->lane);
    lane_close(n->lane);
    statements_close(n->statements);
    recorder_close(n->recorder);
    payer_view_close(n->payers);
    outbox_close(n->outbox);
    keystore_close(n->keys);
    schema_free(&chain_file_schema, &n->chain);
}

/* ---- running */

/* Reservations whose openlorad never came back hold their payers' money: they end after a long time. */
static void sweep(struct node *n)
{
    struct err e = {0};
    int64_t before = clock_unix_ms() - 1000 * n->options->reservation_s;
    if (recorder_end_before(n->recorder, (uint64_t)before, &e) != 0)
        log_line(LOG_WARN, "chainlited", "ending old reservations: %s", e.message);
}

static int serve(const struct options *o, struct err *e)
{
    struct node n = {.options = o};
    char address[ADDRESS_TEXT_BYTES];
    sigset_t signals;
    int got;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* every thread started from here on leaves them to us */
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int rc = open_node(&n, e);
    if (rc == 0) {
        address_format(keystore_node(n.keys), address);
        fprintf(stderr, "node %s listens on %s%s\n", address, o->socket, o->no_chain ? ", without a chain" : "");
        while ((got = sigtimedwait(&signals, NULL, &(struct timespec){.tv_sec = SWEEP_S})) < 0)
            sweep(&n);
        log_line(LOG_INFO, "chainlited", "%s: stopping", strsignal(got));
    }
    close_node(&n);
    curl_global_cleanup();
    return rc;
}

/* ---- keys in and out */

/* At most `max` - 1 bytes of a file, with a NUL. */
static int read_text(const char *path, char *out, size_t max, size_t *len, struct err *e)
{
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!f)
        return err_set(e, OL_EIO, "chainlited", "opening %.160s: %s", path ? path : "(no --file, no --password-file)",
                       path ? strerror(errno) : "missing");
    *len = fread(out, 1, max - 1, f);
    out[*len] = '\0';
    fclose(f);
    return 0;
}

static int move_key(const struct options *o, struct err *e)
{
    static char json[64 << 10];
    struct node n = {.options = o};
    struct keystore_config config = {n.keys_folder, o->passphrase_file};
    char password[1024], text[ADDRESS_TEXT_BYTES];
    uint8_t address[ADDRESS_BYTES];
    size_t len;
    int rc = paths(&n, e);
    if (rc == 0)
        rc = read_text(o->password_file, password, sizeof password, &len, e);
    if (rc != 0)
        return rc;
    password[strcspn(password, "\r\n")] = '\0';
    if (o->import_key) {
        rc = read_text(o->import_file, json, sizeof json, &len, e);
        if (rc == 0)
            rc = keystore_import(&config, o->import_key, json, len, password, address, e);
        if (rc == 0) {
            address_format(address, text);
            printf("%s\n", text);
        }
    } else {
        struct buf out;
        buf_init(&out, sizeof json);
        rc = keystore_open(&config, &n.keys, e);
        if (rc == 0)
            rc = keystore_export(n.keys, o->export_key, password, &out, e);
        if (rc == 0)
            fputs(buf_str(&out), stdout);
        keystore_close(n.keys);
        buf_deinit(&out);
    }
    mbedtls_platform_zeroize(password, sizeof password);
    return rc;
}

int main(int argc, char **argv)
{
    struct options options;
    struct err e = {0};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of the write */
    keystore_harden_process();
    int rc = options_load(argc, argv, &options, &e);
    if (rc == 0)
        rc = log_set_level_named(options.log_level, &e);
    if (rc == 0 && !crash_points_arm())
        rc = err_set(&e, OL_EINVAL, "config", "OPENLORA_CRASH_AT names no crash point; --crash-points lists them");
    int code = rc == 0 ? EXIT_OK : EXIT_USAGE;
    if (rc == 0 && options.help) {
        options_help(stdout);
    } else if (rc == 0 && options.version) {
        printf("chainlited %s\n", OPENLORA_VERSION);
    } else if (rc == 0 && options.crash_points) {
        crash_points_list(stdout);
    } else if (rc == 0 && options.check) {
        options_print(&options, stdout);
    } else if (rc == 0) {
        rc = options.import_key || options.export_key ? move_key(&options, &e) : serve(&options, &e);
        code = rc == 0 ? EXIT_OK : EXIT_FAILED;
    }
    if (rc != 0)
        fprintf(stderr, "chainlited: %s\n", e.message);
    options_deinit(&options);
    return code;
}
