# shellcheck shell=bash
# Checks of a suite and their sums. Needs common.sh; works from the repository's root.
#
#   check TITLE COMMAND…          one check; exit status 77 means skipped
#   check_beside TITLE COMMAND…   the same, while up to JOBS of them run beside each other
#   check_join                    until all of those have ended; `check` and the suite's end do it, too
#   check_ctest TITLE FOLDER LABEL   every ctest case of a build folder with a label (a regular expression)
#
# Output goes to build/test-logs/SUITE/TITLE.log and is shown when the check fails. Results are told in the order in which
# the checks were started. Checks that run beside each other share nothing: each has its own ports and folders.

SKIPPED=77
JOBS=${JOBS:-2}
SUITE=
SUITE_TABLE=() # "suite passed failed skipped seconds"
passed=0 failed=0 skipped=0 suite_start=0
beside=() # titles of checks that were started and not told of yet

suite_begin() {
    SUITE=$1 passed=0 failed=0 skipped=0 suite_start=$SECONDS
    rm -rf "build/test-logs/$SUITE"
    mkdir -p "build/test-logs/$SUITE"
}

suite_end() {
    check_join
    SUITE_TABLE+=("$SUITE $passed $failed $skipped $((SECONDS - suite_start))")
}

count_result() { # STATUS TITLE SECONDS
    local word
    case $1 in
    0) word=ok && passed=$((passed + 1)) ;;
    "$SKIPPED") word=skip && skipped=$((skipped + 1)) ;;
    *) word=FAIL && failed=$((failed + 1)) ;;
    esac
    printf '%-4s  %s  (%s s)\n' "$word" "$2" "$3"
}

check_log() { printf 'build/test-logs/%s/%s.log' "$SUITE" "${1//[ \/]/_}"; }

# Leaves the output in the log, and "STATUS SECONDS" beside it.
run_check() { # TITLE COMMAND…
    local log status=0 start=$SECONDS
    log=$(check_log "$1")
    shift
    set +e # so that -e holds inside, where a command of a function may fail
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    echo "$status $((SECONDS - start))" >"$log.end"
}

tell_check() { # TITLE
    local log status seconds
    log=$(check_log "$1")
    read -r status seconds <"$log.end" || status=1 seconds=0 # it was killed
    rm -f "$log.end"
    if [ "$status" -ne 0 ] && [ "$status" -ne "$SKIPPED" ]; then
        tail -n 60 "$log"
    fi
    count_result "$status" "$1" "$seconds"
}

# Tells of those that have ended, up to the first that still runs.
tell_beside() {
    while [ "${#beside[@]}" -gt 0 ] && [ -s "$(check_log "${beside[0]}").end" ]; do
        tell_check "${beside[0]}"
        beside=("${beside[@]:1}")
    done
}

# Until fewer than N checks run.
await_beside() {
    while [ "$(jobs -pr | wc -l)" -ge "$1" ]; do
        wait -n || true
        tell_beside
    done
}

check_beside() {
    await_beside "$JOBS"
    beside+=("$1")
    set -m # a process group of its own, for check_cleanup
    run_check "$@" &
    set +m
}

check_join() {
    local title
    await_beside 1
    for title in "${beside[@]}"; do
        tell_check "$title"
    done
    beside=()
}

# Ends what still runs, with all it started. For the caller's EXIT trap.
check_cleanup() {
    local pid
    for pid in $(jobs -pr); do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
}

check() {
    check_join
    run_check "$@"
    tell_check "$1"
}

check_ctest() {
    local title=$1 folder=$2 label=$3 log status=0 line
    check_join
    log=build/test-logs/$SUITE/ctest-$title.log
    ctest --test-dir "$folder" -L "$label" --output-on-failure -j "$(nproc)" --no-tests=error >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || grep -v ' Passed ' "$log" | tail -n 100
    while read -r line; do
        [[ $line =~ Test\ +#[0-9]+:\ ([^ ]+)\ [.*]*\ *(.*[^ ])\ +([0-9.]+)\ sec ]] || continue
        case ${BASH_REMATCH[2]} in
        Passed) count_result 0 "$title/${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}" ;;
        *) count_result 1 "$title/${BASH_REMATCH[1]}: ${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}" ;;
        esac
    done <"$log"
    if [ "$status" -ne 0 ] && ! grep -q 'Test *#' "$log"; then
        count_result 1 "$title: ctest found no tests" 0
    fi
}

# The table and the last line; status 1 if a check failed or none ran.
summary() {
    local row total_passed=0 total_failed=0 total_skipped=0 line
    printf '\n%-10s %8s %8s %8s %8s\n' suite passed failed skipped seconds
    for row in "${SUITE_TABLE[@]}"; do
        # shellcheck disable=SC2086 # five words
        set -- $row
        printf '%-10s %8d %8d %8d %8d\n' "$@"
        total_passed=$((total_passed + $2))
        total_failed=$((total_failed + $3))
        total_skipped=$((total_skipped + $4))
    done
    line="$total_passed passed, $total_failed failed"
    [ "$total_skipped" -eq 0 ] || line+=", $total_skipped skipped"
    printf '\n%s\n' "$line"
    [ "$total_failed" -eq 0 ] && [ "$total_passed" -gt 0 ]
}
