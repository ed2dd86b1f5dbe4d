/* The JSON of answers, in OpenAI's four shapes: chat or text completion, whole or as stream events. */
#ifndef OPENLORA_API_FORMAT_H
#define OPENLORA_API_FORMAT_H

#include "api/choice.h"

#include <stdint.h>

struct format {
    bool chat, include_usage;
    struct buf head; /* {"id":…,"object":…,"created":…,"model":…,"system_fingerprint":…, */
};

void format_init(struct format *, bool chat, bool stream, bool include_usage, const char *model,
                 const char *fingerprint);
void format_deinit(struct format *);

/* Stream events, "data: …\n\n" each. */
void format_role(const struct format *, const struct choice *, struct buf *out);   /* chat: opens a choice */
void format_delta(const struct format *, struct choice *, struct buf *out);        /* takes text and logprobs */
void format_finish(const struct format *, const struct choice *, struct buf *out);
void format_usage(const struct format *, const struct usage *, struct buf *out);   /* the chunk without choices */
void format_done(struct buf *out);

/* The end of a billed stream, with usage.openlora to come between the two: every choice's finish event, usage (in the
 * last of them, or in a chunk of its own if that was asked for), [DONE]. */
void format_stream_end(const struct format *, const struct choice *choices, int n, const struct usage *,
                       struct buf *before, struct buf *after);
/* A billed whole answer, cut at the same place. */
void format_whole_end(const struct format *, struct choice *choices, int n, const struct usage *, struct buf *before,
                      struct buf *after);

/* The whole answer. */
void format_whole(const struct format *, struct choice *choices, int n, const struct usage *, struct buf *out);

#endif
