/* The switch itself, and stacks. */
#include "tests/simt/fiber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Callee-saved registers onto the old stack, the other stack, its registers back. Rounding modes are nobody's here. */
__asm__(".text\n"
        ".globl simt_switch\n"
        ".hidden simt_switch\n"
        ".type simt_switch, @function\n"
        "simt_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size simt_switch, .-simt_switch\n");

namespace simt {

enum {
#if defined(SIMT_TSAN) || defined(__SANITIZE_ADDRESS__)
    STACK_BYTES = 256 * 1024, /* instrumented frames are large */
#else
    STACK_BYTES = 64 * 1024,
#endif
    GUARD_BYTES = 4096,
    SAVED_REGISTERS = 6
};

void fiber_allocate(fiber *f, unsigned number)
{
    (void)number;
    void *p = mmap(nullptr, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, GUARD_BYTES, PROT_NONE)) {
        fprintf(stderr, "simt: no memory for the stack of thread %u\n", number);
        abort();
    }
    f->stack = (char *)p + GUARD_BYTES;
    f->bytes = STACK_BYTES;
    f->tsan = f->fake = nullptr;
}

void fiber_free(fiber *f)
{
#ifdef SIMT_TSAN
    if (f->tsan)
        __tsan_destroy_fiber(f->tsan);
#endif
    munmap(f->stack - GUARD_BYTES, STACK_BYTES + GUARD_BYTES);
}

void fiber_start(fiber *f, void (*entry)(), unsigned number)
{
    /* Stacks begin at different cache sets: at the same one, 32 lanes would evict each other. */
    void **sp = (void **)(f->stack + f->bytes - 64 - number % 61 * 64);
    *--sp = nullptr; /* entry's own return address, and its alignment */
    *--sp = (void *)entry;
    for (int i = 0; i < SAVED_REGISTERS; i++)
        *--sp = nullptr;
    f->sp = sp;
    f->fake = nullptr;
#ifdef SIMT_TSAN
    if (!f->tsan)
        f->tsan = __tsan_create_fiber(0);
#endif
}

void fiber_adopt(fiber *f)
{
    f->fake = nullptr;
#ifdef __SANITIZE_ADDRESS__
    pthread_attr_t attributes;
    void *stack = nullptr;
    if (!f->stack && !pthread_getattr_np(pthread_self(), &attributes)) {
        pthread_attr_getstack(&attributes, &stack, &f->bytes);
        pthread_attr_destroy(&attributes);
        f->stack = (char *)stack;
    }
#endif
#ifdef SIMT_TSAN
    f->tsan = __tsan_get_current_fiber();
#endif
}

} // namespace simt
