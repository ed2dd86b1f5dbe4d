# shellcheck shell=bash
# needs: release model
# The one command of a newcomer.

up_works() { # from another folder; every voice answers, and nothing keeps running
    local port answers
    port=$(free_port)
    (cd / && "$OPENLORA_ROOT/appliance/up" --once --port "$port")
    answers=$(grep -c 'tokens/s' "build/test-logs/up/up_--once.log")
    [ "$answers" -ge 3 ]
    grep -q '^valid on devnet' "build/test-logs/up/up_--once.log" # answered, billed, settled, proven
    grep -q '^claimed ' "build/test-logs/up/up_--once.log"
    grep -q '^minted ' "build/test-logs/up/up_--once.log"
    build/openlora verify build/demo/bundle.json --chain build/demo/chain.json
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "something still listens on port $port"
        return 1
    fi
}

up_without_a_chain() { # the bill is signed and waits
    local status=0
    appliance/up --once --no-chain --port "$(free_port)"
    build/openlora verify build/demo/bundle.json --chain build/demo/chain.json || status=$?
    [ "$status" -eq 3 ]
}

up_names_a_busy_port() {
    local port server status=0
    port=$(free_port)
    python3 -m http.server --bind 127.0.0.1 "$port" &
    server=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$server"
        sleep 0.05
    done
    appliance/up --once --port "$port" || status=$?
    kill "$server"
    wait "$server" || true
    [ "$status" -eq 1 ]
    grep -q "port $port is in use" "build/test-logs/up/up_on_a_busy_port.log"
}

check "up --once" up_works
check "up --once --no-chain" up_without_a_chain
check "up on a busy port" up_names_a_busy_port
