/* A generation as its own files see it: generation.c opens and submits, generation_engine.c hears from the engine,
 * generation_bill.c adds the bill. */
#ifndef OPENLORA_API_GENERATION_INTERNAL_H
#define OPENLORA_API_GENERATION_INTERNAL_H

#include "api/auth.h"
#include "api/format.h"
#include "api/generation.h"
#include "billing/bill.h"
#include "billing/delivery.h"

#include <pthread.h>

enum { MAX_EVENT_BYTES = 80 << 20 };

struct generation_part { /* a choice as a request to the engine */
    struct generation *generation;
    struct choice *choice;
    uint64_t id;   /* the engine's; 0: not submitted */
    bool opened;   /* its first event is out */
    bool ended;
};

struct generation {
    pthread_mutex_t lock; /* guards what follows `stream` */
    struct app *app;      /* borrowed */
    struct params params; /* model and user are dead after the handler returned */
    struct prompts prompts;
    struct format format;
    enum route route;
    char tenant[128];
    struct adapter *adapter; /* the version that answers; a reference until all is submitted; NULL: the base */
    bool wait_for_token;  /* the head of a stream too */
    struct caller *caller; /* owned; NULL without billing */
    struct http_stream *stream;
    int references;       /* the HTTP request's, one per submitted part, one per call that will call back */
    int n_running;        /* parts, and one while they are being submitted */
    bool gone;            /* nobody reads: write nothing more */
    bool hung_up;         /* the client has gone, or the server gives up */
    bool written;         /* bytes went to the stream */
    size_t stream_bytes;  /* how many */
    struct api_error failure; /* status 0: none */
    struct refusal refusal;   /* of billing; status 0: none */
    struct usage usage;   /* summed over the choices; times are the longest */
    struct buf event;     /* scratch */
    int n_parts;
    struct generation_part *parts;      /* owned, both of n_parts */
    struct choice *choices;
    /* With billing: */
    struct bill *bill;       /* NULL before it is open */
    struct idempotency_ticket *ticket; /* until the bill has it */
    uint8_t body_hash[32];
    const char *path;        /* static */
    char *application;       /* owned */
    struct delivery delivery;
    bool keeps;              /* the answer, under its Idempotency-Key */
    struct buf kept;         /* the stream so far */
    struct buf before, after; /* the answer's end, around usage.openlora; of a whole answer, all of it */
    struct evidence evidence; /* whose data shows in the answer, if `covered` */
    bool covered;
    bool complete;           /* every choice ended by itself, and the client has all of it */
    bool settled;            /* the bill's last word has come */
};

void generation_release(struct generation *);
enum tier generation_tier(const struct generation *); /* what it is priced and scheduled by */
/* Sends g->event; false when nobody reads. Lock held. */
bool generation_send(struct generation *);
/* Submits all parts; on failure what was submitted is cancelled and *e says why. */
int generation_submit(struct generation *, struct api_error *e);
void generation_cancel(struct generation *); /* what still runs. No lock held */

bool generation_on_token(void *part, const struct step_result *);
void generation_on_end(void *part, enum engine_end, const struct usage *, const struct err *why);
void generation_finish(struct generation *); /* all parts have ended. Lock held */
void generation_fail(struct generation *);   /* tells the client of g->failure or g->refusal. Lock held */

/* ---- generation_attribution.c */

/* At the answer's end: its spans, into evidence. Lock held, as below. */
void generation_attribute(struct generation *);
/* What the bill gets of it; borrows g's evidence. */
struct bill_attribution generation_bill_attribution(const struct generation *);
void generation_attribution_recorded(struct generation *); /* the receipt is signed: gradients may follow */

/* ---- generation_bill.c */

/* From the handler: 0 and *responded: a kept answer, or a refusal, is already on its way. Otherwise the bill is being
 * opened and the parts are submitted when it is. */
int generation_bill_start(struct generation *, struct http_request *, bool *responded, struct api_error *);
void generation_bill_headers(struct generation *, struct http_request *); /* of an answer. Lock held */
void generation_bill_token(struct generation_part *, const struct step_result *);    /* Lock held, as below */
void generation_bill_text(struct generation_part *);  /* the choice's text is about to become an event */
void generation_bill_event(struct generation_part *); /* it is the end of g->event now */
void generation_bill_sending(struct generation *); /* g->event is about to be sent */
void generation_bill_finish(struct generation *);                         /* all parts have ended: generation_settle.c */
void generation_bill_close(struct generation *);

#endif
