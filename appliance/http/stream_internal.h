/* The server's side of a stream: see stream.h. Only http/ includes this. */
#ifndef OPENLORA_HTTP_STREAM_INTERNAL_H
#define OPENLORA_HTTP_STREAM_INTERNAL_H

#include "http/stream.h"

#include <microhttpd.h>

/* Ties the stream to its connection; http_stream_detach comes before that connection is closed or reused. */
void http_stream_attach(struct http_stream *, struct MHD_Connection *);
void http_stream_detach(struct http_stream *);

/* Called from the access handler: suspends the connection until the stream has something to say. False: it already
 * has, and the caller goes on at once. */
bool http_stream_suspend(struct http_stream *);

bool http_stream_failed(struct http_stream *); /* over its maximum, cut, or without a client */

/* A chunked response that sends the stream's bytes; takes a reference of its own. NULL without memory. */
struct MHD_Response *http_stream_response(struct http_stream *);

#endif
