#include "kernels/cpu/phases.h"

CPU_KERNELS(avx2);
