# shellcheck shell=bash
# shellcheck disable=SC2034 # CUDA_ROOT is for those who source this
# The CUDA toolkit: one that is installed, or one put together from NVIDIA's wheels. Needs common.sh and packages.sh.
#
# The wheels are pinned with their hashes in appliance/setup/cuda-requirements.txt and come from NVIDIA by way of PyPI
# under NVIDIA's licence, which is kept beside them (licenses/); nothing of them is part of this repository. One
# toolkit per version of that file lives in the cache folder.

CUDA_REQUIREMENTS=$OPENLORA_ROOT/appliance/setup/cuda-requirements.txt
CUDA_OLDEST=12.4
CUDA_ROOT= # of the toolkit that cuda_toolkit or cuda_pinned found

# Prints the Debian packages that cuda_pinned needs.
cuda_packages() { python3 -m pip --version >/dev/null 2>&1 || printf 'python3-pip\n'; }

# Is FOLDER a toolkit that builds the backend: nvcc of 12.4 or newer, and the header of cuBLASLt?
cuda_usable() { # FOLDER
    local release
    [ -x "$1/bin/nvcc" ] && [ -f "$1/include/cublasLt.h" ] || return 1
    release=$("$1/bin/nvcc" --version 2>/dev/null | sed -n 's/^.*release \([0-9.]*\),.*$/\1/p')
    [ -n "$release" ] && [ "$(printf '%s\n' "$CUDA_OLDEST" "$release" | sort -V | head -n 1)" = "$CUDA_OLDEST" ]
}

# The newest wheels name libraries by their major version alone; linkers and CMake look for the bare name.
cuda_arrange() { # FOLDER: from pip's layout to a toolkit's
    local work=$1 package library
    mv "$work"/pip/nvidia/cu13/* "$work"
    mkdir -p "$work/licenses"
    for package in "$work"/pip/*.dist-info; do
        cp -R "$package/licenses" "$work/licenses/$(basename "$package" .dist-info)"
    done
    rm -rf "$work/pip"
    ln -s lib "$work/lib64"
    for library in "$work"/lib/lib*.so.*; do
        ln -s "$(basename "$library")" "${library%%.so.*}.so"
    done
}

# Leaves the pinned toolkit in the cache folder and its place in CUDA_ROOT.
cuda_pinned() {
    local key work packages
    [ "$(uname -m)" = x86_64 ] ||
        die "the pinned CUDA toolkit is for x86-64; install one for $(uname -m) and set CUDAToolkit_ROOT to its folder"
    mapfile -t packages < <(cuda_packages)
    [ "${#packages[@]}" -eq 0 ] || packages_install "${packages[@]}"
    key=$(sha256sum <"$CUDA_REQUIREMENTS" | cut -c 1-12)
    CUDA_ROOT=$OPENLORA_CACHE/cuda/$key
    [ ! -f "$CUDA_ROOT/complete" ] || return 0
    mkdir -p "$OPENLORA_CACHE/cuda"
    work=$(mktemp -d "$OPENLORA_CACHE/cuda/install.XXXXXX")
    if ! step "Downloading NVIDIA's CUDA toolkit under its licence (535 MB; 850 MB unpacked)" python3 -m pip install \
        --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps --only-binary=:all: \
        --require-hashes --requirement "$CUDA_REQUIREMENTS" --target "$work/pip"; then
        rm -rf "$work"
        die "the CUDA toolkit could not be fetched; try again, or install one and set CUDAToolkit_ROOT to its folder"
    fi
    cuda_arrange "$work"
    touch "$work/complete"
    rm -rf "$CUDA_ROOT"
    mv "$work" "$CUDA_ROOT"
}

# An installed toolkit if there is one that builds the backend, else the pinned one; its place in CUDA_ROOT.
cuda_toolkit() {
    local folder nvcc
    nvcc=$(command -v nvcc || true)
    for folder in "${CUDAToolkit_ROOT:-}" "${CUDA_HOME:-}" "${nvcc%/bin/nvcc}" /usr/local/cuda; do
        if [ -n "$folder" ] && cuda_usable "$folder"; then
            CUDA_ROOT=$folder
            return 0
        fi
    done
    [ -z "${CUDAToolkit_ROOT:-}" ] ||
        die "$CUDAToolkit_ROOT (CUDAToolkit_ROOT) is no CUDA toolkit of $CUDA_OLDEST or newer with cuBLASLt"
    cuda_pinned
}

# Options of cmake, one per line, that build the backend with the toolkit in CUDA_ROOT. What an earlier run found is
# forgotten: it may have been another toolkit.
cuda_defines() { printf '%s\n' '-UCUDA*' -DOPENLORA_CUDA=ON "-DCUDAToolkit_ROOT=$CUDA_ROOT"; }
