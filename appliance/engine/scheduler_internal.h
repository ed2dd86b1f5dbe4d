/* Between scheduler.c (state) and scheduler_plan.c (decisions). */
#ifndef OPENLORA_ENGINE_SCHEDULER_INTERNAL_H
#define OPENLORA_ENGINE_SCHEDULER_INTERNAL_H

#include "engine/scheduler.h"

/* Evicts idle pages until n are free; false if that cannot be. pinned: pinned adapters may go too. */
bool scheduler_make_free(struct scheduler *, int32_t n, bool pinned);
int32_t scheduler_available_pages(const struct scheduler *, bool pinned); /* free, or idle and evictable */
void scheduler_stop_waiting(struct scheduler *, struct sequence *);
void scheduler_start_running(struct scheduler *, struct sequence *); /* its pages were taken before */
void scheduler_preempt(struct scheduler *, struct sequence *);       /* back to the front of its tenant's queue */

#endif
