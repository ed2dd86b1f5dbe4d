# shellcheck shell=bash
# needs: cuda python
# The kernels as NVIDIA's compiler makes them: no GPU is needed. A build of its own for three architectures.

CUDA_BUILD=build/cuda
CUDA_PLUGIN=$CUDA_BUILD/libopenlora_cuda.so

cuda_compile() {
    local defines
    rm -f "$CUDA_PLUGIN" # the checks below read none of an earlier build
    mapfile -t defines < <(cuda_defines)
    build_tree "$PWD/$CUDA_BUILD" Release "${defines[@]}" "-DOPENLORA_CUDA_ARCHITECTURES=80;90;120" -- openlora_cuda
}

# The wheels of CUDA 12.4 (48 MB), one folder per version of their requirements.
cuda_oldest() {
    local key folder
    key=$(sha256sum <tests/cuda/oldest-requirements.txt | cut -c 1-12)
    folder=$OPENLORA_CACHE/cuda-oldest/$key
    if [ ! -f "$folder/complete" ]; then
        rm -rf "$folder"
        python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
            --requirement tests/cuda/oldest-requirements.txt --target "$folder"
        touch "$folder/complete"
    fi
    python tests/cuda/oldest.py "$folder"
}

# The toolkit is in PATH for these alone: other builds shall not find it.
with_toolkit() { env PATH="$CUDA_ROOT/bin:$PATH" "$@"; }

check "compile" cuda_compile
check_beside "compile with CUDA 12.4" cuda_oldest
check_beside "budgets" with_toolkit python tests/cuda/budgets.py "$CUDA_PLUGIN"
check_beside "instructions" with_toolkit python tests/cuda/sass.py "$CUDA_PLUGIN"
check_beside "plugin" env CUDA_PLUGIN="$PWD/$CUDA_PLUGIN" python -m pytest -q -p no:cacheprovider tests/cuda/test_plugin.py
check_beside "the checks themselves" with_toolkit python -m pytest -q -p no:cacheprovider tests/cuda/test_checks.py
