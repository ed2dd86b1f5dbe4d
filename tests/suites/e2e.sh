# shellcheck shell=bash
# needs: release asan tsan model python
# A real openlorad with stock clients; the same load on the sanitizer builds with a tiny model.

for script in tests/e2e/test_*.py; do
    check "release/$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script" --build build
done
