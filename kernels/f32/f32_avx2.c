#include "kernels/f32/table.inc.h"
