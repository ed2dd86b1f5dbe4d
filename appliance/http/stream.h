/* The way from a producer's thread to a client: bytes of a streamed body, or just the news that an answer is ready.
 *
 * The producer (the engine's thread) never waits: what it writes is buffered whole, up to a maximum past which the
 * stream fails and the connection is closed. The connection sleeps (is suspended) whenever there is nothing to
 * send, and a write, an end or a wake resumes it.
 *
 * Reference-counted: one reference for the producer, one for the request, one for the response being sent. */
#ifndef OPENLORA_HTTP_STREAM_H
#define OPENLORA_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>

struct stream;

/* NULL without memory. max_bytes: how much may wait for a slow reader. */
struct stream *stream_open(size_t max_bytes);
struct stream *stream_ref(struct stream *);
void stream_release(struct stream *);

/* From any thread. False once the stream has failed or its client is gone: nothing more will be sent. */
bool stream_write(struct stream *, const void *bytes, size_t n);
void stream_end(struct stream *, bool complete); /* complete = false: the connection is cut, so the client notices */
void stream_wake(struct stream *);               /* runs the request's `ready` (request.h) in a server thread */

#endif
