# shellcheck shell=bash
# The build. Needs common.sh.

# build_tree FOLDER BUILD_TYPE [-D…] -- [TARGET…]: configures when needed and builds with Ninja.
build_tree() {
    local folder=$1 type=$2 defines=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        defines+=("$1")
        shift
    done
    shift || true
    step "Configuring ${folder#"$OPENLORA_ROOT"/}" cmake -S "$OPENLORA_ROOT" -B "$folder" -G Ninja \
        -DCMAKE_BUILD_TYPE="$type" "${defines[@]}" || die "cmake failed; removing $folder and trying again may help"
    step "Building ${folder#"$OPENLORA_ROOT"/}" ninja -C "$folder" "$@" || die "the build failed"
}
