/* Accesses of kernels, checked against those of other operations (order.cc). */
#ifndef SIMT_ORDER_H
#define SIMT_ORDER_H

#include "tests/simt/machine.h"

namespace simt {

enum { STAMP_BYTES = 16 };

struct stamp { /* numbers of operations; 0: none yet */
    uint32_t wrote, read, constant; /* constant: read it by ldg, which nobody may write meanwhile */
};

void order_conflict_read(const void *p, stamp *s, const kernel *k, place at);
void order_conflict_write(const void *p, stamp *s, const kernel *k, place at);
[[noreturn]] void order_not_constant(const void *p, const char *what, place at);
void order_flag_seen(const void *flag); /* what the raiser of the flag did before comes before this kernel's rest */

} // namespace simt

#endif
