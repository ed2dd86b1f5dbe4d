# shellcheck shell=bash
# needs: fuzz
# Every parser of hostile input: its committed corpus, then a little (--long: much) random search.

fuzz_target() { # PROGRAM SECONDS
    local name work
    name=$(basename "$1")
    work=$(mktemp -d)
    "$1" -runs=0 -rss_limit_mb=2048 "tests/fuzz/corpus/${name#fuzz_}"
    "$1" -max_total_time="$2" -rss_limit_mb=2048 -timeout=30 -print_final_stats=1 \
        -artifact_prefix="build/test-logs/fuzz/$name-" "$work" "tests/fuzz/corpus/${name#fuzz_}"
    rm -rf "$work"
}

for program in build/fuzz/fuzz/fuzz_*; do
    check_beside "$(basename "$program")" fuzz_target "$program" $((LONG_RUN ? 300 : 6))
done
