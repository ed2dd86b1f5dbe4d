# shellcheck shell=bash
# needs: release asan tsan model python
# A real openlorad with stock clients on the default model; then the same load on the sanitizer builds, which are
# slow, with a tiny model.

TINY=build/test-models/smollm.Q4_1.gguf
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp"
step "Making tiny models" python tests/golden/make_models.py build/test-models || die "no tiny models"

for script in tests/e2e/test_*.py; do
    check_beside "release/$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script" --build build
done
for script in tests/e2e/test_*.py; do
    [ "$(basename "$script")" != test_adapters.py ] || continue # the default model's numbers
    for build in asan tsan; do
        check_beside "$build/$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script" \
            --build "build/$build" --model "$TINY" --patience 10
    done
done
