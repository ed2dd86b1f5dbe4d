# shellcheck shell=bash
# needs: release tsan asan model python
# The CUDA backend on the emulator: the emulator's own tests, every operation against the CPU's reference, the forward
# pass, the node, and mutants that the tests must notice.

TINY=build/test-models/smollm.Q4_1.gguf
step "Making tiny models" python tests/golden/make_models.py build/test-models || die "no tiny models"

check "logits" python -m pytest -q -p no:cacheprovider tests/gpu/test_logits.py
