# shellcheck shell=bash
# needs: release model python chain
# Numbers, texts and encodings against other people's programs: gguf-py, PyTorch, transformers, PEFT, tokenizers, viem,
# cast.

for script in tests/golden/test_*.py; do
    check "$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script"
done
