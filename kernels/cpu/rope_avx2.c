#include "kernels/cpu/rope.inc.h"
