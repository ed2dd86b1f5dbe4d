/* One thread that sees what libmicrohttpd does not: a client that goes away while its connection is suspended, and
 * a request that never becomes complete however slowly its bytes drip.
 *
 * Every connection has a slot from accept to close. While a request is being answered the slot is armed: a hang-up
 * of the peer (EPOLLRDHUP) calls `gone` once. While a request is being read the slot has a deadline: when it
 * passes, the socket is shut down and libmicrohttpd closes the connection.
 *
 * Tickets carry a generation, so an event that was already on its way for a closed connection finds nothing, even
 * if the descriptor's number is in use again. `gone` runs under the watch's lock: after watch_disarm returns it is
 * not running and will not run. */
#ifndef OPENLORA_HTTP_WATCH_H
#define OPENLORA_HTTP_WATCH_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct watch;

int watch_open(int max_connections, struct watch **out, struct err *e) __attribute__((warn_unused_result));
void watch_close(struct watch *);

/* Ticket of a new connection, or 0 when every slot is taken. */
uint64_t watch_add(struct watch *, int fd);
void watch_remove(struct watch *, uint64_t ticket); /* before the descriptor is closed */

/* Shuts the socket down when `ms` have passed; 0 takes the deadline away. */
void watch_deadline(struct watch *, uint64_t ticket, int64_t ms);

/* Calls gone(user, true) once if the peer hangs up before watch_disarm. It may not call back into the watch. */
typedef void (*watch_gone)(void *user, bool hung_up);
void watch_arm(struct watch *, uint64_t ticket, watch_gone gone, void *user);
void watch_disarm(struct watch *, uint64_t ticket);

/* Calls every armed gone(user, false) now: the end of a drain, whose clients are still there. */
void watch_expire(struct watch *);

#endif
