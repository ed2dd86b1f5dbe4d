# shellcheck shell=bash
# needs: release asan tsan model python
# The CUDA backend on the emulator: the emulator's own tests, every operation against the CPU's reference, the forward
# pass, the node, and mutants that the tests must notice. ThreadSanitizer finds races between the threads of a block.

check_ctest release build '^simt$'
check_ctest asan build/asan '^(simt|gpu)$'
check_ctest tsan build/tsan '^(simt|gpu)$'
check "tests/gpu/run" tests/gpu/run --emulated # operations, logits, node, speed: as on a machine with a GPU
check "mutants" python tests/gpu/mutants.py
