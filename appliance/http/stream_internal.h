/* The server's side of a stream: see stream.h. Only http/ includes this. */
#ifndef OPENLORA_HTTP_STREAM_INTERNAL_H
#define OPENLORA_HTTP_STREAM_INTERNAL_H

#include "http/stream.h"

#include <microhttpd.h>

/* Ties the stream to its connection; stream_detach comes before that connection is closed or reused. */
void stream_attach(struct stream *, struct MHD_Connection *);
void stream_detach(struct stream *);

/* Called from the access handler: suspends the connection until the stream has something to say. False: it already
 * has, and the caller goes on at once. */
bool stream_suspend(struct stream *);

bool stream_failed(struct stream *); /* over its maximum, cut, or without a client */

/* A chunked response that sends the stream's bytes; takes a reference of its own. NULL without memory. */
struct MHD_Response *stream_response(struct stream *);

#endif
