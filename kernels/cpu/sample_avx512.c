#include "kernels/cpu/sample.inc.h"
