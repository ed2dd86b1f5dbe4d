# shellcheck shell=bash
# shellcheck disable=SC2034 # variables for those who source this
# Debian packages. Needs common.sh.

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config libmicrohttpd-dev libjansson-dev libpcre2-dev
    libutf8proc-dev libcurl4-openssl-dev libedit-dev libinih-dev libmbedtls-dev librocksdb-dev libsecp256k1-dev python3)

package_installed() {
    dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

# packages_install PACKAGE…: one printed list of what is missing, one apt-get install.
packages_install() {
    command -v dpkg-query >/dev/null ||
        die "this is not Debian: install the equivalents of: $*"
    local missing=() package as_root=()
    for package in "$@"; do
        package_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "Packages to install: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "run as root, or install sudo, or ask an administrator for: apt-get install ${missing[*]}"
        sudo -v || die "no permission to install; ask an administrator for: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    for package in "${missing[@]}"; do
        if ! apt-cache show "$package" >/dev/null 2>&1; then # a fresh system has no package lists yet
            step "Updating package lists" "${install[@]}" update -q || die "apt-get update failed"
            break
        fi
    done
    step "Installing ${#missing[@]} packages" "${install[@]}" install -y -q --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed; if a package was not found, run apt-get update and try again"
}
