/* Launches, from LAUNCH to the stream. */
#ifndef SIMT_LAUNCH_H
#define SIMT_LAUNCH_H

#include "tests/simt/machine.h"

#include <tuple>
#include <utility>

namespace simt {

/* runtime: checks the sizes against the stream's GPU and appends the kernel to the stream. */
cudaError_t enqueue_kernel(cudaStream_t stream, kernel &&k);

/* Arguments are copied, converted to the kernel's own types, as by a launch on a GPU. */
template <class... P, class... A>
cudaError_t launch(const char *name, void (*function)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
    kernel k = {};
    k.name = name;
    k.function = (const void *)function;
    k.grid = grid;
    k.block = block;
    k.shared_bytes = shared_bytes;
    k.body = [function, values = std::tuple<P...>(P(args)...)] { std::apply(function, values); };
    return enqueue_kernel(stream, std::move(k));
}

} // namespace simt

#endif
