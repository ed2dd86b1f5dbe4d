# shellcheck shell=bash
# Tools of the contracts and of a local chain: Foundry, the Solidity compiler, viem. Needs common.sh and packages.sh.
#
# They are npm packages, pinned with their hashes in chainlite/contracts/package-lock.json. One installation per version
# of that file lives in the cache folder; chainlite/contracts/node_modules links to it. No script of a package is run.

CHAIN_CONTRACTS=$OPENLORA_ROOT/chainlite/contracts

# Prints the Debian packages that chain_tools needs and that are not there in another form.
chain_packages() {
    command -v node >/dev/null || printf 'nodejs\n'
    command -v npm >/dev/null || printf 'npm\n'
}

# chain_link FOLDER: links the programs of an installation into FOLDER/bin: the binaries themselves, not the launchers
# in node, which would cost a second process and some time per call.
chain_link() {
    local folder=$1 machine tool
    case $(uname -m) in
    x86_64) machine=amd64 ;;
    aarch64) machine=arm64 ;;
    *) die "Foundry has no build for $(uname -m); the contracts can only be built on x86-64 and ARM64" ;;
    esac
    mkdir -p "$folder/bin"
    for tool in anvil cast forge; do
        ln -sfn "../node_modules/@foundry-rs/$tool-linux-$machine/bin/$tool" "$folder/bin/$tool"
        chmod +x "$folder/bin/$tool"
    done
}

# Installs the tools when this version of the lock file is not there yet; anvil, cast and forge come first in PATH.
chain_tools() {
    local key folder work packages
    mapfile -t packages < <(chain_packages)
    [ "${#packages[@]}" -eq 0 ] || packages_install "${packages[@]}"
    key=$(sha256sum <"$CHAIN_CONTRACTS/package-lock.json" | cut -c 1-12)
    folder=$OPENLORA_CACHE/chain-tools/$key
    if [ ! -f "$folder/complete" ]; then
        mkdir -p "$OPENLORA_CACHE/chain-tools"
        work=$(mktemp -d "$OPENLORA_CACHE/chain-tools/install.XXXXXX")
        cp "$CHAIN_CONTRACTS"/package.json "$CHAIN_CONTRACTS"/package-lock.json "$CHAIN_CONTRACTS"/.npmrc "$work"
        if ! step "Installing Foundry and the contracts' libraries" npm ci --prefix "$work" --ignore-scripts; then
            rm -rf "$work"
            die "npm ci failed; if no registry could be reached, try again later"
        fi
        chain_link "$work"
        touch "$work/complete"
        rm -rf "$folder"
        mv "$work" "$folder"
    fi
    if [ -e "$CHAIN_CONTRACTS/node_modules" ] && [ ! -L "$CHAIN_CONTRACTS/node_modules" ]; then
        die "$CHAIN_CONTRACTS/node_modules is a folder; remove it, it is a link into $OPENLORA_CACHE here"
    fi
    ln -sfn "$folder/node_modules" "$CHAIN_CONTRACTS/node_modules"
    export PATH="$folder/bin:$PATH"
}
