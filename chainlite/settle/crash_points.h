/* Places where a fault test may kill the process: OPENLORA_CRASH_AT=name:count ends it by SIGKILL the count-th time it
 * comes past `name`. Without the variable a crash point is one comparison. `chainlited --crash-points` lists them. */
#ifndef OPENLORA_SETTLE_CRASH_POINTS_H
#define OPENLORA_SETTLE_CRASH_POINTS_H

#include <stdio.h>

#define CRASH_POINTS(X)                                                                                                \
    X(outbox_before_write, "a group of writes is merged, nothing is written")                                          \
    X(outbox_after_write, "the group is on disk, nobody was told")                                                     \
    X(recorder_reserved, "reservations are assigned in memory")                                                        \
    X(recorder_reservation_durable, "reservations are on disk, the answer is not sent")                                \
    X(recorder_sequenced, "sequences are assigned, nothing is signed")                                                 \
    X(recorder_signed, "proofs are signed, nothing is written")                                                        \
    X(recorder_receipt_durable, "receipts are on disk, the answer is not sent")                                        \
    X(recorder_ended, "a reservation is ended on disk, the answer is not sent")                                        \
    X(statements_gradients, "gradients are on disk, the answer is not sent")                                           \
    X(statements_made, "statements of the batch before are signed, nothing is written")                                \
    X(lane_closed, "a batch is closed on disk, the statements of the one before with it")                              \
    X(lane_planned, "a batch's claims are planned on disk, none is signed")                                            \
    X(lane_stored, "a transaction is on disk, not sent")                                                               \
    X(lane_sent, "a transaction was handed to the endpoints")                                                          \
    X(lane_mined, "a nonce is used up, its gas is not booked")                                                         \
    X(lane_claimed, "all claims of a batch are decided, nothing else is written")                                      \
    X(lane_body, "a batch's body is on disk, its header is not")                                                       \
    X(lane_proven, "the proof of a batch's slot is in its file, its state is not written")                             \
    X(api_answer, "an answer of the API is made, not handed to the socket")

/* openlorad's own: */
#define OPENLORAD_CRASH_POINTS(X)                                                                                      \
    X(billing_reserved, "reservations are answered, the engine has not begun")                                         \
    X(billing_answer_kept, "salts and kept answers are on disk, receipts are not asked for")                           \
    X(billing_recorded, "receipts are signed, the last chunks are not sent")                                           \
    X(billing_delivered, "a last chunk is handed to the socket")

#define X(name, what) CRASH_##name,
enum crash_point { CRASH_POINTS(X) OPENLORAD_CRASH_POINTS(X) CRASH_POINT_COUNT };
#undef X

/* Reads OPENLORA_CRASH_AT; false: it names no crash point. Once, before other threads. */
_Bool crash_points_arm(void);
void crash_points_list(FILE *); /* "name  what" lines of chainlited's */
void crash_point_reached(enum crash_point);
#define crash_point(name) crash_point_reached(CRASH_##name)

#endif
