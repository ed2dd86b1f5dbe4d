/* HOST_DEVICE: an inline function that kernels may call too. */
#ifndef OPENLORA_KERNELS_HOST_DEVICE_H
#define OPENLORA_KERNELS_HOST_DEVICE_H

#ifdef __CUDACC__
#define HOST_DEVICE static inline __host__ __device__
#else
#define HOST_DEVICE static inline
#endif

#endif
