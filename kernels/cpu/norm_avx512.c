#include "kernels/cpu/norm.inc.h"
