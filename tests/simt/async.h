/* cp.async. From issue to the wait that covers it, the destination belongs to nobody: it holds NaN, and every access to it
 * is an error. The source is read, and the destination written, at a random moment in between. To ThreadSanitizer the
 * destination is written twice, at the issue and at the wait, by the thread that issued the copy. */
#ifndef SIMT_ASYNC_H
#define SIMT_ASYNC_H

#include "tests/simt/memory.h"

namespace simt {

/* Checks addresses; returns where the destination's bytes are. */
unsigned char *copy_issue(void *to, const void *from, int size, int bytes, place at);
void copy_commit();
/* All but the newest n groups have landed; returns how many copies that were, the oldest ones first in landed(). */
int copy_wait(int n);
const async_copy *landed(); /* of the last copy_wait, until the next copy_issue */

SIMT_INLINE void touch(const void *from, int bytes, void *to, int size)
{
#ifdef SIMT_TSAN
    if (bytes)
        __tsan_read_range((void *)(uintptr_t)from, bytes);
    __tsan_write_range(to, size);
#endif
    (void)from, (void)bytes, (void)to, (void)size;
}

} // namespace simt

#endif
