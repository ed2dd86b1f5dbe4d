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

struct http_stream;

/* NULL without memory. max_bytes: how much may wait for a slow reader. */
struct http_stream *http_stream_open(size_t max_bytes);
struct http_stream *http_stream_ref(struct http_stream *);
void http_stream_release(struct http_stream *);

/* From any thread. False once the stream has failed or its client is gone: nothing more will be sent. */
bool http_stream_write(struct http_stream *, const void *bytes, size_t n);
/* complete = false: the connection is cut, so the client notices. */
void http_stream_end(struct http_stream *, bool complete);
/* Bytes of the body that the client's socket has taken: what counts as delivered. */
size_t http_stream_accepted(struct http_stream *);
/* False: the socket has taken all that was written, or nobody is left to take it. True: it will be so later, and then
 * drained(user) is called, once, from any thread, without a lock of ours held. One at a time. */
bool http_stream_when_drained(struct http_stream *, void (*drained)(void *user), void *user);
/* Runs the request's `ready` (request.h) in a server thread. */
void http_stream_wake(struct http_stream *);

#endif
