# shellcheck shell=bash
# needs: release model python chain
# Numbers, texts and encodings against other people's programs: gguf-py, PyTorch, transformers, PEFT, tokenizers, viem,
# cast.

step "Making tiny models" python tests/golden/make_models.py build/test-models || die "no tiny models"
for script in tests/golden/test_*.py; do
    check_beside "$(basename "$script" .py)" python -m pytest -q -p no:cacheprovider "$script"
done
