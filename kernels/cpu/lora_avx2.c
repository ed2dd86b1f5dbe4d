#include "kernels/cpu/lora.inc.h"
