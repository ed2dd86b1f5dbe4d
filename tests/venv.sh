# shellcheck shell=bash
# The Python environment of tests and measurements. Needs common.sh; works from the repository's root.

# One virtual environment per version of tests/requirements.txt, in the cache folder; its programs come first in PATH.
make_venv() {
    local key venv
    key=$(sha256sum <tests/requirements.txt | cut -c 1-12)
    venv=$OPENLORA_CACHE/test-venv/$key
    if [ ! -f "$venv/complete" ]; then
        rm -rf "$venv"
        step "Creating a Python environment" python3 -m venv "$venv" || die "python3 -m venv failed"
        step "Installing Python packages" "$venv/bin/pip" install --disable-pip-version-check \
            -r tests/requirements.txt || die "pip install failed"
        touch "$venv/complete"
    fi
    export PATH="$venv/bin:$PATH"
}
