/* Fibers: one stack per CUDA thread, switched in assembler (System V x86-64), with what the sanitizers want to be told.
 *
 * ThreadSanitizer: every fiber is a thread of its own to it, and a switch orders nothing. AddressSanitizer: it learns
 * which stack is in use. The emulator's own files are compiled without ThreadSanitizer (SIMT_TSAN tells them of it), so
 * that only kernels are watched. */
#ifndef SIMT_FIBER_H
#define SIMT_FIBER_H

#include <stddef.h>

#ifdef SIMT_TSAN
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *);
void __tsan_switch_to_fiber(void *, unsigned flags);
void __tsan_acquire(void *);
void __tsan_release(void *);
void __tsan_read_range(void *, long);
void __tsan_write_range(void *, long);
}
#endif
#ifdef __SANITIZE_ADDRESS__
extern "C" {
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t bytes);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *bytes);
}
#endif

extern "C" void simt_switch(void **save, void *load); /* fiber.cc */

namespace simt {

struct fiber {
    void *sp;      /* while it does not run */
    char *stack;   /* lowest address; NULL for a fiber that a thread of the system became */
    size_t bytes;
    void *tsan, *fake;
};

void fiber_allocate(fiber *f, unsigned number); /* its stack; `number` spreads stacks over the caches */
void fiber_free(fiber *f);
void fiber_start(fiber *f, void (*entry)(), unsigned number); /* the next switch to it calls entry, which never returns */
void fiber_adopt(fiber *f);                     /* the calling thread, as something to switch back to */

/* entry calls this first. */
inline void fiber_entered()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

/* `last`: `from` will never run again. */
inline void fiber_switch(fiber *from, fiber *to, bool last = false)
{
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(to->tsan, 1); /* 1: without ordering the two */
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(last ? nullptr : &from->fake, to->stack, to->bytes);
#endif
    (void)last;
    simt_switch(&from->sp, to->sp);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}

/* What one fiber did before release(token) comes before what another does after its later acquire(token). */
inline void acquire(void *token)
{
#ifdef SIMT_TSAN
    __tsan_acquire(token);
#endif
    (void)token;
}

inline void release(void *token)
{
#ifdef SIMT_TSAN
    __tsan_release(token);
#endif
    (void)token;
}

} // namespace simt

#endif
