#include "kernels/cpu/attention.inc.h"
