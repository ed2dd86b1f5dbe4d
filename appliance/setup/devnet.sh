# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables for those who source this, and theirs
# A chain on this machine, the contracts on it, and chainlited between it and the node. Needs common.sh, chain.sh, a
# build, and the caller's `chain` (0: no chain), `model`, `demo` and function demo_adapters.

DEMO=$OPENLORA_ROOT/build/demo
CHAIN_SOCKET=$DEMO/state/chainlited.sock
CHAIN_FILE=$DEMO/chain.json
CHAIN_URL='' CHAIN_PID='' CHAINLITED_PID='' NODE_ADDRESS='' API_KEY=''
# Pools of the demo's split: accounts of the local chain that nobody else uses.
VALIDATORS_POOL=0x14dC79964da2C08b23698B3D3cc7Ca32193d9955
UNATTRIBUTED_POOL=0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f
TREASURY=0xa0Ee7A142d267C1f36714E4a8F75612F20a79720

devnet_stop() {
    local pid
    for pid in "$CHAINLITED_PID" "$CHAIN_PID"; do
        [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
        [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    done
    CHAINLITED_PID='' CHAIN_PID=''
}

PATIENCE_S=180 # with what a busy machine gets done within seconds when it has nothing else to do

# await SECONDS MESSAGE COMMAND…: until the command succeeds.
await() {
    local deadline=$((SECONDS + $1)) message=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -le "$deadline" ] || die "$message"
        sleep 0.1
    done
}

chain_answers() { (exec 3<>"/dev/tcp/127.0.0.1/${CHAIN_URL##*:}") 2>/dev/null; }

status_field() { build/openlora chain status --json | python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# Blocks of 1 s and a window of 3 blocks: a bill can be followed to its end while one watches.
devnet_start() {
    local arguments=(--state-dir "$DEMO/state" --chain "$CHAIN_FILE" --batch-age-s 1) port
    rm -rf "$DEMO"
    mkdir -p "$DEMO/billing"
    export OPENLORA_CHAIN_SOCKET=$CHAIN_SOCKET OPENLORA_WALLET=$DEMO/wallet.json OPENLORA_PASSWORD_FILE=$DEMO/password
    if [ "$chain" -eq 1 ]; then
        port=$(free_port)
        CHAIN_URL=http://127.0.0.1:$port
        anvil --port "$port" --block-time 1 --slots-in-an-epoch 1 --silent >"$DEMO/anvil.log" 2>&1 </dev/null &
        CHAIN_PID=$!
        await "$PATIENCE_S" "the local chain does not answer; see build/demo/anvil.log" chain_answers
        step "Deploying the contracts on a local chain" build/openlora chain deploy --rpc "$CHAIN_URL" --dev-account \
            --set window_seconds=3 answer_seconds=1 unbond_seconds=4 thaw_seconds=60 --out "$CHAIN_FILE" ||
            die "the contracts could not be deployed"
        arguments+=(--rpc "$CHAIN_URL")
    else
        cp chainlite/chains/devnet.json "$CHAIN_FILE"
        arguments+=(--no-chain)
    fi
    build/chainlited "${arguments[@]}" >"$DEMO/chainlited.log" 2>&1 </dev/null &
    CHAINLITED_PID=$!
    await "$PATIENCE_S" "chainlited does not answer; see build/demo/chainlited.log" build/openlora chain status
    NODE_ADDRESS=$(status_field '["node"]')
}

# Its epoch is open and its prices are registered: it can sign bills.
node_is_ready() {
    [ "$(status_field '["lane"]["refusal"]')" = "" ] && [ "$(status_field '["lane"]["missing_prices"]')" = 0 ]
}

# Versions, prices and split; the node's bond; money for a wallet and for the operator's own account.
devnet_register() {
    local name adapters=() where=(--chain "$CHAIN_FILE" --dev-account) operator
    if [ "$demo" -eq 1 ]; then
        for name in $(demo_adapters); do
            adapters+=("$name=$PWD/appliance/demo/adapters/$name")
        done
    fi
    [ "${#adapters[@]}" -eq 0 ] || where+=(--adapter "${adapters[@]}")
    if [ "$chain" -eq 1 ]; then
        where+=(--rpc "$CHAIN_URL")
    else
        where+=(--offline)
    fi
    [ "$demo" -eq 0 ] || step "Publishing the adapters' data" datanets_publish || die "the Datanets could not be published"
    step "Registering models, prices and the split" build/openlora chain register "${where[@]}" --model "$model" \
        --node "$NODE_ADDRESS" --catalog "$DEMO/state/catalog.json" --validators-pool "$VALIDATORS_POOL" \
        --unattributed-pool "$UNATTRIBUTED_POOL" --treasury "$TREASURY" || die "registering failed"
    [ "$demo" -eq 0 ] || step "Pinning who is paid for the data" policies_make || die "no policy could be made"
    build/openlora chain reload >/dev/null
    python3 -c 'import secrets; print(secrets.token_hex(16))' >"$OPENLORA_PASSWORD_FILE"
    build/openlora wallet create >/dev/null
    API_KEY=$(build/openlora key add demo --keys "$DEMO/billing/keys.json" --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
    [ "$chain" -eq 1 ] || return 0
    step "Bonding the node" build/openlora chain bond 10 --gas 1 --node "$NODE_ADDRESS" --chain "$CHAIN_FILE" \
        --rpc "$CHAIN_URL" --dev-account || die "the node could not be bonded"
    operator=$(status_field '["operator"]')
    step "Funding a wallet" devnet_fund "$operator" || die "the wallet could not be funded"
    await "$PATIENCE_S" "the node's epoch did not open, or its prices were not registered; see build/demo/chainlited.log" node_is_ready
}

devnet_fund() { # OPERATOR
    local wallet
    wallet=$(python3 -c 'import json, sys; print("0x" + json.load(open(sys.argv[1]))["address"].removeprefix("0x"))' \
        "$OPENLORA_WALLET")
    cast rpc --rpc-url "$CHAIN_URL" anvil_setBalance "$wallet" 0x4563918244f40000 # 5 coins
    build/openlora wallet deposit 1 --node "$NODE_ADDRESS" --chain "$CHAIN_FILE" --rpc "$CHAIN_URL"
    build/openlora wallet deposit 1 --payer "$1" --node "$NODE_ADDRESS" --chain "$CHAIN_FILE" --rpc "$CHAIN_URL"
}

all_anchored() {
    build/openlora chain status --json | python3 -c 'import json, sys
s = json.load(sys.stdin)["receipts"]
sys.exit(not s["anchored"] or any(s[k] for k in ("reserved", "recorded", "batched", "unsafe", "safe")))'
}

receipt_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["receipt_id"])' "$1"; }

# The newest bill of the demo: followed until it is settled, saved, verified offline.
devnet_show_bill() {
    local id status=0
    id=$(receipt_of "$DEMO/last.json")
    printf '\n── bill %s\n' "$id"
    if [ "$chain" -eq 1 ]; then
        await "$PATIENCE_S" "the bill was not settled; see build/demo/chainlited.log" all_anchored
    fi
    build/openlora wallet receipt "$id" >"$DEMO/bundle.json"
    python3 - "$DEMO/bundle.json" <<'PY'
import json, sys
b = json.load(open(sys.argv[1]))
i = b["informative"]
for name in ("state", "block_number", "transaction", "gas_used", "gas_per_receipt"):
    if i.get(name) not in (None, ""):
        print(f"{name:<18} {i[name]}")
roles = {1: "model", 2: "base", 3: "data", 4: "validators", 5: "node", 6: "compute"}
for part in b["parts"]:
    role, to, amount = (part[k] for k in ("role", "beneficiary", "amount")) if isinstance(part, dict) else (part[1], part[0], part[2])
    print(f"{roles.get(role, role):<18} {int(amount):>24,} wei to {to}")
PY
    printf '\n'
    build/openlora verify build/demo/bundle.json --chain "$CHAIN_FILE" || status=$?
    [ "$status" -eq 0 ] || { [ "$chain" -eq 0 ] && [ "$status" -eq 3 ]; } || die "the bill does not hold"
    [ "$chain" -eq 1 ] || return 0
    printf '\n'
    devnet_pay_out
}

# By the chain's own clock, as proven for the bundle's batch.
window_passed() { # BUNDLE
    build/openlora verify "$1" --chain "$CHAIN_FILE" --rpc "$CHAIN_URL" --json | grep -q '"past_window": *true'
}

# The models' owner is paid, and the payer gets the bill as a token, once the window of 3 s has passed.
devnet_pay_out() {
    local where=(build/demo/bundle.json --chain "$CHAIN_FILE" --rpc "$CHAIN_URL" --dev-account)
    await "$PATIENCE_S" "the batch's window did not pass; see build/demo/anvil.log" window_passed build/demo/bundle.json
    build/openlora chain claim "${where[@]}" || die "the owner's part could not be claimed"
    build/openlora chain mint "${where[@]}" || die "the bill could not be minted"
    [ "$demo" -eq 0 ] || attribution_show "$(receipt_of "$DEMO/last.json")"
}
