# shellcheck shell=bash
# needs: chain
# The contracts: what is generated from them, their tests, coverage, gas, vectors, deployment, static analysis.

CONTRACTS=chainlite/contracts

# The analyser in an environment of its own, one per version of its requirements; in PATH.
make_analyser() {
    local key venv
    key=$(sha256sum <tests/contracts/requirements.txt | cut -c 1-12)
    venv=$OPENLORA_CACHE/slither/$key
    if [ ! -f "$venv/complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/contracts/requirements.txt
        touch "$venv/complete"
    fi
    export PATH="$venv/bin:$PATH"
}

contracts_build() { # without warnings, each within the size that a chain takes
    (cd "$CONTRACTS" && forge build && forge build --sizes src)
}

contracts_test() {
    local profile=default
    [ "$LONG_RUN" -eq 0 ] || profile=long
    (cd "$CONTRACTS" && FOUNDRY_PROFILE=$profile forge test)
}

contracts_coverage() { # a build of its own: without the optimizer, so without the bounds on gas
    local lcov="$PWD/build/test-logs/contracts/lcov.info" work="$PWD/build/coverage"
    (cd "$CONTRACTS" && FOUNDRY_OUT=$work/out FOUNDRY_CACHE_PATH=$work/cache forge coverage --report lcov --report-file "$lcov" --no-match-contract GasTest \
        --no-match-coverage '(test/|node_modules/)')
    python3 tests/contracts/coverage.py "$lcov" 95
}

contracts_gas() {
    (cd "$CONTRACTS" && forge snapshot --snap gas.snap --check --tolerance 3 \
        --match-contract '^(GasTest|RegistryTest|BillingNFTTest)$' --no-match-test Fuzz)
}

contracts_analyse() { # a build of its own: with every source in one report of the compiler, without the tests
    local work="$PWD/build/slither"
    make_analyser
    rm -rf "$work"
    (cd "$CONTRACTS" && forge build src --build-info --out "$work/out" --cache-path "$work/cache")
    python3 tests/contracts/analyse.py "$work/out"
}

check "build" contracts_build
check "generated files" "$CONTRACTS/scripts/generate" --check
check_beside "coverage" contracts_coverage # the long ones first: compilers run on one thread
check_beside "slither" contracts_analyse
check_beside "vectors by viem" node tests/vectors/make.mjs --check
check_beside "deployment on anvil" node --test tests/contracts/deploy_test.mjs
check "forge test" contracts_test
check "gas" contracts_gas
