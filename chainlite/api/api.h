/* chainlited's HTTP API on its Unix socket (docs/protocol.md §9): routes over the recorder and the outbox; what only the
 * settlement lane knows comes through hooks. */
#ifndef OPENLORA_CHAINLITE_API_API_H
#define OPENLORA_CHAINLITE_API_API_H

#include "base/buf.h"
#include "chainlite/json/chain_file.h"
#include "chainlite/json/values.h"
#include "chainlite/settle/recorder.h"
#include "chainlite/settle/statements.h"
#include "http/server.h"

#include <jansson.h>

/* Any may be NULL: there is no lane. JSON is owned by the caller; NULL without memory. */
struct api_lane {
    void *user;
    json_t *(*status)(void *user);
    json_t *(*pending)(void *user);
    int (*retry)(void *user, struct err *);
    void (*new_epoch)(void *user); /* wanted: opened in the lane's own time */
    int (*set_payout)(void *user, const uint8_t to[ADDRESS_BYTES], struct err *); /* sent in its own time */
    /* Appends the bundle's settlement of a receipt in this batch, as JSON; OL_ENOTFOUND: not proven yet. */
    int (*settlement)(void *user, const struct outbox_receipt *, const struct outbox_batch *, struct buf *, struct err *);
};

struct api {
    struct recorder *recorder;
    struct outbox *outbox;
    struct statements *statements;
    const struct keystore *keys;
    const struct chain_file *chain;
    const char *catalog_path; /* read by POST /v1/reload */
    const char *state_dir;    /* bodies of batches: STATE_DIR/bodies/ */
    struct api_lane lane;
    bool no_chain;
};

extern const struct http_route api_routes[];
extern const int n_api_routes;

/* Reads the catalog file. No file: an empty catalog. */
int api_reload(struct api *, struct err *) __attribute__((warn_unused_result));

/* ---- shared by the routes' files */

void api_answer(struct http_request *, int status, struct buf *json); /* takes the buffer's content, frees it */
void api_answer_json(struct http_request *, int status, json_t *owned); /* NULL: no memory */
void api_error(struct http_request *, int status, const char *code, const char *message);
void api_failed(struct http_request *, const struct err *); /* a library's error */
/* "EPOCH.SEQUENCE", as `next` of a page is written. */
bool api_read_place(const char *text, uint64_t *epoch, uint64_t *sequence);
bool api_read_limit(struct http_request *, uint64_t *limit); /* ?limit=; false: answered with what is wrong */
/* The request's body by the schema; false: answered with what is wrong. */
bool api_read_body(struct http_request *, const struct schema *, void *out);
/* For a request of items: the beginning of item i's result, whose it is and, if it was refused, why; and the end of the
 * answer that begins with {"results":[ (or why there are none), which releases the items. */
void api_put_result(struct buf *, size_t i, const uint8_t receipt_id[32], const char *code, const char *message);
void api_answer_results(struct http_request *, const struct schema *, void *items, struct buf *, int rc,
                        const struct err *);
/* recorded, batched, unsafe, safe, anchored or dead; batch (may be NULL) with *has_batch. */
const char *receipt_state(struct api *, const struct proof *, struct outbox_batch *batch, bool *has_batch);

void api_post_reservations(void *app, struct http_request *);
void api_delete_reservation(void *app, struct http_request *);
void api_post_receipts(void *app, struct http_request *);
void api_get_receipt(void *app, struct http_request *);
void api_get_receipts(void *app, struct http_request *);
void api_post_statements(void *app, struct http_request *);
void api_get_contributor(void *app, struct http_request *);
void api_get_payer(void *app, struct http_request *);
void api_get_status(void *app, struct http_request *);
void api_get_readiness(void *app, struct http_request *);
void api_get_catalog(void *app, struct http_request *);
void api_get_pending(void *app, struct http_request *);
void api_post_retry(void *app, struct http_request *);
void api_post_epochs(void *app, struct http_request *);
void api_post_payout(void *app, struct http_request *);
void api_get_batches(void *app, struct http_request *);
void api_get_batch_body(void *app, struct http_request *);
void api_post_reload(void *app, struct http_request *);

#endif
