/* Who is asking, and saying no with what is missing. */
#ifndef OPENLORA_API_AUTH_H
#define OPENLORA_API_AUTH_H

#include "api/app.h"
#include "billing/bill.h"

/* Of a request that wants an answer: an API key, a voucher, nobody where that is allowed, or (with billing) somebody
 * who has yet to be told what it costs. body_hash: keccak of the body; NULL without billing. */
int auth_payer(struct app *, struct http_request *, const uint8_t *body_hash, struct caller *, struct refusal *)
    __attribute__((warn_unused_result));
/* Of a request that reads bills: an API key or a signed OpenLoRA-Wallet header. */
int auth_reader(struct app *, struct http_request *, struct caller *, struct refusal *)
    __attribute__((warn_unused_result));

/* Of a request that changes what the node serves: a key with the role admin, or nobody's where no keys are configured.
 * False: it is answered. */
bool auth_admin(struct app *, struct http_request *);

/* Answers; a 402 carries PAYMENT-REQUIRED and the same numbers in its body. */
void refusal_respond(const struct app *, const struct refusal *, struct http_request *);

#endif
