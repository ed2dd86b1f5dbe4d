# shellcheck shell=bash
# needs: release model python
# Numbers and texts against other people's programs: gguf-py, PyTorch, transformers, PEFT, tokenizers.

for script in tests/golden/test_*.py; do
    check "$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script"
done
