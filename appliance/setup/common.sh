# shellcheck shell=bash
# shellcheck disable=SC2034 # variables for those who source this
# What appliance/up, tests/run and tests/bench/cpu share. Source it; `set -euo pipefail` is the caller's.

OPENLORA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
OPENLORA_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/openlora
STEP_PID=  # the command `step` runs now
STEP_LOG=

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# A port that nobody listens on, below those that the system hands out: it stays free until somebody asks for it by number.
free_port() {
    python3 -c '
import random, socket
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", random.randrange(20000, 32000)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break'
}

# Ends what `step` left running and removes its log. For the caller's EXIT trap.
step_cleanup() {
    if [ -n "$STEP_PID" ]; then
        kill "$STEP_PID" 2>/dev/null || true
        wait "$STEP_PID" 2>/dev/null || true
        STEP_PID=
    fi
    [ -z "$STEP_LOG" ] || rm -f "$STEP_LOG"
}

# What a terminal shows of a running step: its time and the last line of its output.
step_progress() {
    local title=$1 seconds=$2 last
    last=$(tail -n 1 "$STEP_LOG" | tr -d '\r' | cut -c 1-60)
    if [ -t 1 ]; then
        printf '\r\033[K%s … %d s  %s' "$title" "$seconds" "$last"
    elif [ $((seconds % 10)) -eq 0 ]; then
        printf '%s … %d s  %s\n' "$title" "$seconds" "$last"
    fi
}

# step TITLE COMMAND…: runs an external command quietly, shows progress from the second second on, and on failure the
# end of its output. Returns its status.
step() {
    local title=$1 start=$SECONDS shown=0 status=0
    shift
    STEP_LOG=$(mktemp)
    "$@" >"$STEP_LOG" 2>&1 </dev/null &
    STEP_PID=$!
    while kill -0 "$STEP_PID" 2>/dev/null; do
        if [ $((SECONDS - start)) -gt "$((shown > 1 ? shown : 1))" ]; then
            shown=$((SECONDS - start))
            step_progress "$title" "$shown"
        fi
        sleep 0.1
    done
    wait "$STEP_PID" || status=$?
    STEP_PID=
    [ "$shown" -eq 0 ] || [ ! -t 1 ] || printf '\r\033[K'
    if [ "$status" -eq 0 ]; then
        say "$title: done in $((SECONDS - start)) s"
    else
        tail -n 40 "$STEP_LOG" >&2
        say "$title: failed with status $status" >&2
    fi
    rm -f "$STEP_LOG"
    STEP_LOG=
    return "$status"
}
