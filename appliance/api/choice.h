/* One answer being generated: from the engine's tokens to text that may be shown. */
#ifndef OPENLORA_API_CHOICE_H
#define OPENLORA_API_CHOICE_H

#include "api/logprobs.h"
#include "api/params.h"
#include "api/stop.h"
#include "engine/engine.h"
#include "model/tokenizer.h"

struct choice {
    int index;
    const struct tokenizer *tokenizer; /* borrowed */
    bool ignore_eos, wants_logprobs;
    struct detokenizer detokenizer;
    struct stop_matcher stop;
    struct logprobs logprobs;
    struct buf piece;            /* scratch */
    struct buf text;             /* settled; emptied by whoever sends it */
    size_t made, made_chars;     /* of text, held back or not */
    size_t settled;              /* bytes of text that ever went to `text` */
    bool cut;                    /* by a stop string: nothing more comes out */
    bool stopped;                /* cut, or by an end-of-generation token */
    const char *finish_reason;   /* "stop", "length"; NULL while it runs or if it failed */
    struct usage usage;          /* valid once ended */
};

void choice_init(struct choice *, int index, const struct tokenizer *, const struct params *, bool chat);
void choice_deinit(struct choice *);
/* One more token. False: the answer ends here. */
bool choice_push(struct choice *, const struct step_result *);
/* The last call: settles what is held back unless a stop string cut it. */
void choice_end(struct choice *, enum engine_end, const struct usage *);

#endif
