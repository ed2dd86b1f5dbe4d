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

# The toolkit is in PATH for these alone: other builds shall not find it.
with_toolkit() { env PATH="$CUDA_ROOT/bin:$PATH" "$@"; }

check "compile" cuda_compile
check "budgets" with_toolkit python tests/cuda/budgets.py "$CUDA_PLUGIN"
check "instructions" with_toolkit python tests/cuda/sass.py "$CUDA_PLUGIN"
check "plugin" env CUDA_PLUGIN="$PWD/$CUDA_PLUGIN" python -m pytest -q -p no:cacheprovider tests/cuda/test_plugin.py
check "the checks themselves" with_toolkit python -m pytest -q -p no:cacheprovider tests/cuda/test_checks.py
