/* A kept answer given again: the same bytes, as a stream if it was one. */
#ifndef OPENLORA_API_REPLAY_H
#define OPENLORA_API_REPLAY_H

#include "api/app.h"
#include "billing/bill.h"

/* Takes *kept. Responds, or waits until the receipt of an answer that was not settled when the process ended is. */
void replay_answer(struct app *, struct http_request *, struct kept_answer *);

#endif
