# shellcheck shell=bash
# needs: release asan tsan model python
# The CUDA backend on the emulator: the emulator's own tests, every operation against the CPU's reference, the forward
# pass, the node, and mutants that the tests must notice. ThreadSanitizer finds races between the threads of a block.

TINY=build/test-models/smollm.Q4_1.gguf
step "Making tiny models" python tests/golden/make_models.py build/test-models || die "no tiny models"

gpu_node() { # SCRIPT
    OPENLORA_CUDA_PLUGIN=$PWD/build/libopenlora_cuda_simt.so python -m pytest -q -p no:cacheprovider \
        "tests/e2e/$1.py" --build build --model "$TINY" --device cuda --patience 10
}

for build in release asan tsan; do
    folder=build/${build#release}
    check_ctest "$build" "$folder" '^(simt|gpu)$'
done
check_beside "logits" python -m pytest -q -p no:cacheprovider tests/gpu/test_logits.py
for script in test_concurrent test_invariance test_openai_python; do
    check_beside "node/$script" gpu_node "$script"
done
check "mutants" python tests/gpu/mutants.py
