#!/usr/bin/env bash
# Builds llama_peer into FOLDER (default build/peer) and prints its path. llama.cpp comes compiled for this machine from
# the Python package that carries its source: about five minutes on two cores, once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here/../../../build/peer}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# Everything this machine has except AMX: with it, this version crashes on some virtual machines.
flags=-DGGML_NATIVE=ON
if grep -q avx512_vnni /proc/cpuinfo; then
    flags=-DGGML_NATIVE=OFF
    for feature in SSE42 AVX AVX2 FMA F16C BMI2 AVX512 AVX512_VBMI AVX512_VNNI; do
        flags+=" -DGGML_$feature=ON"
    done
    ! grep -q avx512_bf16 /proc/cpuinfo || flags+=" -DGGML_AVX512_BF16=ON"
fi

[ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" show -q llama-cpp-python 2>/dev/null ||
    CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) CMAKE_ARGS=$flags \
        "$folder/venv/bin/pip" install --quiet llama-cpp-python==0.3.36 >&2
site=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cc -std=gnu11 -O2 -Wall -Wextra -I"$site/include" "$here/llama_peer.c" -o "$folder/llama_peer" \
    -L"$site/llama_cpp/lib" -lllama -lggml -lggml-base -Wl,-rpath,"$site/llama_cpp/lib"
printf '%s\n' "$folder/llama_peer"
